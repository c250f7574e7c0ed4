"""Boxes of tokens."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from worldmodel_train.types import TokenGrid

MAX_ATTEMPTS = 2000
"""Draws before a sampler gives up; what fails so often is a configuration that cannot be met."""


class BlockSize(NamedTuple):
    """Tokens of a block along time, height and width."""

    frames: int
    height: int
    width: int


def sides(share: float, stretch: float, grid: TokenGrid) -> tuple[int, int]:
    """Height and width of a block that takes that `share` of a frame; it may be larger than that.

    One that is stretched by 1 has the frame's height / width, one by 2 twice that.
    """
    area, aspect = int(grid.height * grid.width * share), stretch * (grid.height / grid.width)
    return max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))


def starts(uniform: Float[np.ndarray, "*a"], choices: int) -> Int[np.ndarray, "*a"]:
    """First rows (frames, columns) drawn evenly from 0 to `choices` - 1."""
    return (uniform * choices).astype(np.int64)


def fill(
    corners: tuple[Int[np.ndarray, "b s"], Int[np.ndarray, "b s"], Int[np.ndarray, "b s"]],
    size: BlockSize,
    grid: TokenGrid,
) -> Bool[np.ndarray, "b s n"]:
    """Tokens inside each of `s` blocks, whose corners are frames, rows and columns."""
    axes = [
        _interval(start, length, extent)
        for start, length, extent in zip(corners, size, grid, strict=True)
    ]
    inside = (
        axes[0][:, :, :, None, None] & axes[1][:, :, None, :, None] & axes[2][:, :, None, None, :]
    )
    return inside.reshape(*inside.shape[:2], grid.num_tokens)


def _interval(start: Int[np.ndarray, "b s"], length: int, extent: int) -> Bool[np.ndarray, "b s e"]:
    positions = np.arange(extent)
    first = start[:, :, None]
    return (positions >= first) & (positions < first + length)
