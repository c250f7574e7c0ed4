"""Fixed sine and cosine positions, added to the tokens before the first block."""

import math
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.coordinates import coordinates
from worldmodel_train.types import TokenGrid

THETA = 10_000.0


class SinCos3d(StrictConfig):
    """Time, height and width get a third of the channels each (V-JEPA 1)."""

    name: Literal["sincos3d"] = "sincos3d"

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens plus their positions."""
        width = tokens.shape[-1]
        # Each third is rounded up to sine and cosine pairs; the last axis gives up the excess.
        third = 2 * math.ceil(width / 6)
        axes = zip(coordinates(index, grid), grid, strict=True)
        parts = [axis_table(length, third, index.device)[axis] for axis, length in axes]
        # in the tokens' precision: the fp32 table must not choose that of the residual stream
        return tokens + torch.cat(parts, dim=-1)[..., :width].to(tokens.dtype)

    def rotation_table(self, grid: TokenGrid, head_width: int, device: torch.device) -> None:
        """Nothing: added positions do not act inside attention."""


class SinCos2d(StrictConfig):
    """Width gets the first half of the channels and height the second (I-JEPA, images only)."""

    name: Literal["sincos2d"] = "sincos2d"

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens plus their positions."""
        if grid.frames != 1:
            raise ValueError(
                f"position sincos2d cannot tell {grid.frames} frames of tokens apart; "
                "use images (one frame), or position: {name: sincos3d}"
            )
        half = tokens.shape[-1] // 2
        _, row, column = coordinates(index, grid)
        across = axis_table(grid.width, half, index.device)[column]
        down = axis_table(grid.height, half, index.device)[row]
        # in the tokens' precision, as above
        return tokens + torch.cat((across, down), dim=-1).to(tokens.dtype)

    def rotation_table(self, grid: TokenGrid, head_width: int, device: torch.device) -> None:
        """Nothing: added positions do not act inside attention."""


class SinCos1d(StrictConfig):
    """Tokens are counted through, frame after frame; sines and cosines take turns (VideoMAE).

    The number of a token says where it is in clips of one size alone.
    """

    name: Literal["sincos1d"] = "sincos1d"
    grid: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Tokens along time, height and width of the clips that it was trained on: [8, 14, 14] is 16
    frames of 224 x 224 pixels. Others are refused."""

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens plus their positions."""
        if grid != self.grid:
            raise ValueError(
                f"position sincos1d knows clips of {_in_words(self.grid)} tokens, not of "
                f"{_in_words(grid)}; use clips of the size that the encoder was trained on"
            )
        table = axis_table(grid.num_tokens, tokens.shape[-1], index.device)
        # in the tokens' precision, as above
        return tokens + rearrange(table, "n (s k) -> n (k s)", s=2)[index].to(tokens.dtype)

    def rotation_table(self, grid: TokenGrid, head_width: int, device: torch.device) -> None:
        """Nothing: added positions do not act inside attention."""


def axis_table(length: int, width: int, device: torch.device) -> Float[Tensor, "{length} {width}"]:
    """Sines, then cosines, of positions 0 to length - 1 at falling frequencies."""
    position = torch.arange(length, dtype=torch.float64, device=device)
    exponent = torch.arange(width // 2, dtype=torch.float64, device=device) / (width / 2)
    angles = position[:, None] / THETA**exponent
    return torch.cat((angles.sin(), angles.cos()), dim=-1).float()


def _in_words(grid: tuple[int, int, int]) -> str:
    return "x".join(map(str, grid))
