import pytest
import torch

from worldmodel_kernels.rope import rope
from worldmodel_train.models.position import Places
from worldmodel_train.models.rope import Rope3d
from worldmodel_train.models.sincos import SinCos1d, SinCos2d, SinCos3d
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(frames=2, height=3, width=4)
INDEX = torch.tensor([[3, 20, 7], [0, 1, 2]])


def test_a_table_is_made_once_for_each_grid(monkeypatch):
    made = []
    table = Rope3d.rotation_table
    monkeypatch.setattr(Rope3d, "rotation_table", lambda *a: made.append(a[1]) or table(*a))
    places, other = Places(Rope3d(), 64), TokenGrid(3, 3, 4)
    for grid in (GRID, other, GRID, GRID):
        places.group(INDEX, None, grid, 2)
    assert made == [GRID, other]


def test_a_table_made_in_inference_mode_serves_training():
    places = Places(Rope3d(), 64)
    with torch.inference_mode():
        places.group(INDEX, None, GRID, 2)
    qkv = torch.randn(2, 3, 3, 1, 64, requires_grad=True)
    sum(x.sum() for x in rope(qkv, *places.group(INDEX, None, GRID, 2).rotation)).backward()
    assert qkv.grad is not None


ADDED = [SinCos3d(), SinCos2d(), SinCos1d(grid=(1, 3, 4))]


@pytest.mark.parametrize("position", [Rope3d(), *ADDED], ids=lambda p: p.name)
def test_tokens_keep_their_precision(position):
    tokens = torch.randn(2, 3, 128, dtype=torch.bfloat16)
    added = Places(position, 64).add(tokens, INDEX % 12, TokenGrid(1, 3, 4))
    assert added.dtype == torch.bfloat16


@pytest.mark.parametrize(("position", "rotates"), [(Rope3d(), True), (SinCos3d(), False)])
def test_positions_act_before_the_blocks_or_inside_attention(position, rotates):
    places, tokens = Places(position, 64), torch.randn(2, 3, 128)
    assert torch.equal(places.add(tokens, INDEX, GRID), tokens) == rotates
    group = places.group(INDEX, None, GRID, 2)
    assert (group.rotation is not None) == rotates
    assert (group.rows, group.tokens, group.valid) == (2, 3, None)
