import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_kernels.rope import rope
from worldmodel_train.models.rope import Rope3d, Rope3dInterpolated, Rope3dVJepa2, axis_width
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(frames=5, height=6, width=7)


@pytest.mark.parametrize(("head_width", "per_axis"), [(64, 20), (80, 26), (32, 10), (6, 2)])
def test_axes_share_the_head_as_published(head_width, per_axis):
    assert axis_width(head_width) == per_axis


@pytest.mark.parametrize("head_width", [64, 80, 6])
def test_rope3d_keeps_norms(head_width):
    heads, index = _heads(head_width), torch.randint(GRID.num_tokens, (2, 9))
    turned = turn(heads, rotation_of(Rope3d(), index, GRID, head_width))
    torch.testing.assert_close(turned.norm(dim=-1), heads.norm(dim=-1))


def test_the_released_rotation_does_not_keep_norms():
    heads, index = _heads(64), torch.randint(1, GRID.num_tokens, (2, 9))
    turned = turn(heads, rotation_of(Rope3dVJepa2(), index, GRID, 64))
    assert (turned.norm(dim=-1) - heads.norm(dim=-1)).abs().max() > 0.1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_rope3d_scores_depend_on_relative_positions_only(frames, rows, columns):
    grid = TokenGrid(frames=8, height=8, width=8)
    pair = torch.tensor([[[1, 4, 2], [3, 0, 4]]])
    shift = torch.tensor([frames, rows, columns])
    torch.testing.assert_close(
        _score(Rope3d(), pair, grid), _score(Rope3d(), pair + shift, grid), rtol=1e-4, atol=1e-4
    )


def test_the_released_rotation_is_not_relative():
    grid = TokenGrid(frames=8, height=8, width=8)
    pair = torch.tensor([[[1, 4, 2], [3, 0, 4]]])
    here, there = _score(Rope3dVJepa2(), pair, grid), _score(Rope3dVJepa2(), pair + 3, grid)
    assert (here - there).abs() > 0.01


@pytest.mark.parametrize("position", [Rope3d(), Rope3dVJepa2()], ids=lambda p: p.name)
@pytest.mark.parametrize("head_width", [64, 80, 32])
def test_rotation_equals_its_formula_in_float64(position, head_width):
    heads, index = _heads(head_width), torch.randint(GRID.num_tokens, (2, 9))
    turned = turn(heads, rotation_of(position, index, GRID, head_width))
    naive = torch.empty_like(heads, dtype=torch.float64)
    for b, k, h in torch.cartesian_prod(torch.arange(2), torch.arange(9), torch.arange(3)):
        place = _unravel(int(index[b, k]))
        naive[b, k, h] = torch.tensor(_turn(heads[b, k, h].tolist(), place, position.name))
    torch.testing.assert_close(turned.double(), naive, rtol=0, atol=2e-6)


def test_one_row_of_ids_serves_the_whole_batch():
    heads, index = _heads(64), torch.arange(9)[None]
    broadcast = turn(heads, rotation_of(Rope3d(), index, GRID, 64))
    repeated = turn(heads, rotation_of(Rope3d(), index.expand(2, -1), GRID, 64))
    assert torch.equal(broadcast, repeated)


def test_bf16_heads_are_turned_in_fp32():
    heads, index = _heads(64).bfloat16(), torch.randint(GRID.num_tokens, (2, 9))
    rotation = rotation_of(Rope3d(), index, GRID, 64)
    assert rotation.cos.dtype == torch.float32
    turned = turn(heads, rotation)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, turn(heads.float(), rotation).bfloat16())


def test_queries_and_keys_are_turned_and_values_are_not():
    qkv = torch.stack([_heads(64), 2 * _heads(64), 3 * _heads(64)], dim=2)
    rotation = rotation_of(Rope3d(), torch.randint(GRID.num_tokens, (2, 9)), GRID, 64)
    queries, keys, values = rope(qkv, *rotation)
    assert torch.equal(queries, turn(_heads(64), rotation))
    assert torch.equal(keys, turn(2 * _heads(64), rotation))
    assert torch.equal(values, 3 * _heads(64))


def rotation_of(position, index, grid, head_width):
    return position.rotation_table(grid, head_width, index.device).at(index)


def turn(heads, rotation):
    return rope(heads[:, :, None].expand(-1, -1, 3, -1, -1), *rotation)[0]


def _heads(head_width):
    return torch.randn(2, 9, 3, head_width, generator=torch.Generator().manual_seed(0))


def _score(position, places, grid):
    """Attention score of one fixed query and key at two places [1 2 3]."""
    ids = (places[..., 0] * grid.height + places[..., 1]) * grid.width + places[..., 2]
    heads = torch.randn(1, 2, 1, 64, generator=torch.Generator().manual_seed(1))
    query, key = turn(heads, rotation_of(position, ids, grid, 64))[0, :, 0]
    return query @ key


def _unravel(index):
    return index // 42, index // 7 % 6, index % 7


def _turn(head, place, name):
    """One head at one place, pair by pair."""
    out = list(head)
    per_axis = 2 * (len(head) // 3 // 2)
    pairs = per_axis // 2
    for axis, position in enumerate(place):
        for channel in range(per_axis):
            k = channel // 2 if name == "rope3d" else channel % pairs
            angle = position * 10_000 ** (-k / pairs)
            i = axis * per_axis + channel
            partner = -head[i + 1] if channel % 2 == 0 else head[i - 1]
            out[i] = head[i] * math.cos(angle) + partner * math.sin(angle)
    return out


@pytest.mark.parametrize("side", [4, 16, 24])
def test_interpolated_places_lie_on_a_reference_grid(side):
    """The last row and column are at 15 whatever their number; frames are counted as they are."""
    grid = TokenGrid(frames=3, height=side, width=side)
    table = Rope3dInterpolated().rotation_table(grid, 64, torch.device("cpu"))
    reference = TokenGrid(frames=3, height=16, width=16)
    corner = Rope3d().rotation_table(reference, 64, torch.device("cpu"))
    for ours, theirs in zip(table, corner, strict=True):
        torch.testing.assert_close(ours[0, -1], theirs[0, -1], rtol=0, atol=1e-5)


def test_interpolated_places_of_the_reference_grid_are_plain_ones():
    grid = TokenGrid(frames=2, height=16, width=16)
    tables = [
        position.rotation_table(grid, 64, torch.device("cpu"))
        for position in (Rope3dInterpolated(), Rope3d())
    ]
    assert all(map(torch.equal, *tables))


def test_a_single_row_lies_at_the_start():
    table = Rope3dInterpolated().rotation_table(TokenGrid(1, 1, 1), 64, torch.device("cpu"))
    assert torch.equal(table.cos, torch.ones_like(table.cos))
