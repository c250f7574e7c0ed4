import pytest
import torch

from worldmodel_train.interop.position_table import is_our_table, table
from worldmodel_train.models.rope import Rope3dVJepa2
from worldmodel_train.models.sincos import SinCos2d, SinCos3d
from worldmodel_train.types import TokenGrid


@pytest.mark.parametrize(
    "grid", [TokenGrid(4, 3, 3), TokenGrid(1, 5, 5), TokenGrid(16, 2, 2), TokenGrid(2, 3, 5)]
)
def test_a_table_of_any_grid_is_recognised(grid):
    stored = table(SinCos3d(), grid, 48)
    assert is_our_table(stored, SinCos3d())
    assert is_our_table(stored, Rope3dVJepa2())


def test_an_image_table_is_no_video_table():
    stored = table(SinCos2d(), TokenGrid(1, 4, 4), 48)
    assert is_our_table(stored, SinCos2d())
    assert not is_our_table(stored, SinCos3d())


@pytest.mark.parametrize("position", [SinCos2d(), SinCos3d(), Rope3dVJepa2()])
def test_random_and_constant_tables_are_refused(position):
    generator = torch.Generator().manual_seed(0)
    assert not is_our_table(0.02 * torch.randn(1, 16, 48, generator=generator), position)
    assert not is_our_table(torch.zeros(1, 16, 48), position)


def test_a_rotary_model_may_carry_the_older_table_with_half_of_the_channels_for_time():
    time = torch.arange(4.0).repeat_interleave(4)[:, None] / 10_000 ** (torch.arange(4) / 4)
    row = torch.tensor([0.0, 0, 1, 1]).repeat(4)[:, None] / 10_000 ** (torch.arange(2) / 2)
    column = torch.tensor([0.0, 1, 0, 1]).repeat(4)[:, None] / 10_000 ** (torch.arange(2) / 2)
    parts = [f(axis) for axis in (time, row, column) for f in (torch.sin, torch.cos)]
    stored = torch.cat(parts, dim=1)[None]
    assert is_our_table(stored, Rope3dVJepa2())
    assert not is_our_table(stored, SinCos3d())
