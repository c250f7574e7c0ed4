"""Sine-cosine position tables, which other layouts store and ours computes."""

import math
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.models.position import Position
from worldmodel_train.models.sincos import SinCos2d, SinCos3d, axis_table
from worldmodel_train.types import TokenGrid


class ClipSize(NamedTuple):
    """Frames of a clip, and its height and width in pixels."""

    frames: int
    height: int
    width: int

    def grid(self, *, patch: int, tubelet: int) -> TokenGrid:
        """The grid of tokens of such a clip."""
        return TokenGrid(self.frames // tubelet, self.height // patch, self.width // patch)


def table(position: SinCos2d | SinCos3d, grid: TokenGrid, width: int) -> Float[Tensor, "1 n d"]:
    """What `position` adds to the tokens of a grid."""
    index = torch.arange(grid.num_tokens)[None]
    return position.add(torch.zeros(1, grid.num_tokens, width), index, grid)


def is_our_table(stored: Float[Tensor, "1 n d"], position: Position) -> bool:
    """Whether a stored table says what `position` computes, for some grid.

    Released V-JEPA 2 files carry a table that their rotary models never read: for those any
    sine-cosine table will do. Learned positions never pass.
    """
    _, num_tokens, width = stored.shape
    match position:
        case SinCos2d() | SinCos3d():
            grids = _grids(num_tokens, position)
            tables = (table(position, grid, width) for grid in grids)
        case _:
            grids = _grids(num_tokens, SinCos3d())
            tables = chain(
                (table(SinCos3d(), grid, width) for grid in grids),
                (_half_for_time(grid, width) for grid in grids if width % 8 == 0),
            )
    return any(torch.allclose(stored.float(), ours, rtol=0, atol=1e-5) for ours in tables)


def _grids(num_tokens: int, position: SinCos2d | SinCos3d) -> list[TokenGrid]:
    """Grids with so many tokens, those of square frames first: nearly all tables are theirs."""
    most = 1 if isinstance(position, SinCos2d) else num_tokens
    grids = [
        TokenGrid(frames, height, num_tokens // frames // height)
        for frames in _divisors(num_tokens)
        if frames <= most
        for height in _divisors(num_tokens // frames)
    ]
    return sorted(grids, key=lambda grid: grid.height != grid.width)


def _divisors(number: int) -> list[int]:
    """All that divide a number."""
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def _half_for_time(grid: TokenGrid, width: int) -> Float[Tensor, "1 n d"]:
    """The older split of the channels: time has half of them, height and width a quarter each."""
    device = torch.device("cpu")
    shares = (width // 2, width // 4, width // 4)
    places = torch.cartesian_prod(*(torch.arange(extent) for extent in grid)).unbind(-1)
    parts = [
        axis_table(extent, share, device)[place]
        for extent, share, place in zip(grid, shares, places, strict=True)
    ]
    return torch.cat(parts, dim=-1)[None]
