"""Clips cut into the pixels of their tokens, and put together again."""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.models.token_fit import TubeletSize
from worldmodel_train.types import TokenGrid


@dataclass(frozen=True, kw_only=True)
class Tubelet:
    """The size of a token in pixels."""

    tubelet: int
    """Frames."""
    patch: int
    """Height and width."""


def cut_tubelets(clips: UInt8[Tensor, "b t h w c"], size: TubeletSize) -> Float[Tensor, "b n p"]:
    """The tubelets from 0 to 1, channels first, as the weights of an encoder's embedding have them.

    `p` counts channels, frames, rows and columns in that order, columns fastest.
    """
    return rearrange(
        clips.float() / 255,
        "b (t x) (h y) (w z) c -> b (t h w) (c x y z)",
        x=size.tubelet, y=size.patch, z=size.patch,
    )  # fmt: skip


def join_tubelets(
    tubelets: Float[Tensor, "b n p"], grid: TokenGrid, size: TubeletSize
) -> UInt8[Tensor, "b t h w c"]:
    """The clips; what is below 0 or above 1 is cut off."""
    clips = rearrange(
        tubelets.clamp(0, 1),
        "b (t h w) (c x y z) -> b (t x) (h y) (w z) c",
        t=grid.frames, h=grid.height, w=grid.width,
        x=size.tubelet, y=size.patch, z=size.patch,
    )  # fmt: skip
    return (clips * 255).round().byte()
