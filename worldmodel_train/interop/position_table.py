"""Sine-cosine position tables, which other layouts store and ours computes."""

import math
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
    size: int

    def grid(self, *, patch: int, tubelet: int) -> TokenGrid:
        """The grid of tokens of such a clip."""
        side = self.size // patch
        return TokenGrid(self.frames // tubelet, side, side)


def table(position: SinCos2d | SinCos3d, grid: TokenGrid, width: int) -> Float[Tensor, "1 n d"]:
    """What `position` adds to the tokens of a grid."""
    index = torch.arange(grid.num_tokens)[None]
    return position.add(torch.zeros(1, grid.num_tokens, width), index, grid)


def is_our_table(stored: Float[Tensor, "1 n d"], position: Position) -> bool:
    """Whether a stored table says what `position` computes, for some grid of square frames.

    Released V-JEPA 2 files carry a table that their rotary models never read: for those any
    sine-cosine table will do. Learned positions never pass.
    """
    _, num_tokens, width = stored.shape
    match position:
        case SinCos2d() | SinCos3d():
            tables = [table(position, grid, width) for grid in _grids(num_tokens, position)]
        case _:
            grids = _grids(num_tokens, SinCos3d())
            tables = [table(SinCos3d(), grid, width) for grid in grids]
            tables += [_half_for_time(grid, width) for grid in grids if width % 8 == 0]
    return any(torch.allclose(stored.float(), ours, rtol=0, atol=1e-5) for ours in tables)


def _grids(num_tokens: int, position: SinCos2d | SinCos3d) -> list[TokenGrid]:
    """Grids of square frames with so many tokens."""
    most = 1 if isinstance(position, SinCos2d) else num_tokens
    sides = {
        frames: math.isqrt(num_tokens // frames)
        for frames in range(1, most + 1)
        if num_tokens % frames == 0
    }
    return [
        TokenGrid(frames, side, side)
        for frames, side in sides.items()
        if frames * side * side == num_tokens
    ]


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
