"""Clips made worse in known ways, each at five strengths from slight to heavy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Generator, Tensor
from torch.nn.functional import conv2d, pad

Clip: TypeAlias = UInt8[Tensor, "t h w c"]
CorruptionName: TypeAlias = Literal[
    "gaussian_noise", "gaussian_blur", "occlusion", "dropped_frames", "slow_motion", "brightness"
]

GREY = 128


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """A way of making clips worse, and how much of it is tried."""

    of_clip: Callable[[Clip, float, Generator], Clip]
    """Draws the same for every strength, so that a stronger one only adds to a weaker."""
    strengths: tuple[float, float, float, float, float]
    shown: str
    """What the report calls a strength, `{}` being the number."""


def corrupted(
    clips: UInt8[Tensor, "b t h w c"], name: CorruptionName, strength: float, *, seed: int
) -> UInt8[Tensor, "b t h w c"]:
    """The clips under one corruption, each with draws of its own, the same on every call.

    A clip's draws depend on the seed and on its place among the clips, not on what comes after.
    """
    generator = Generator().manual_seed(seed)
    of_clip = CORRUPTIONS[name].of_clip
    return torch.stack([of_clip(clip, strength, generator) for clip in clips])


def gaussian_noise(
    clip: UInt8[Tensor, "t h w c"], std: float, generator: Generator
) -> UInt8[Tensor, "t h w c"]:
    """Normal noise of `std` grey levels (of 255) added to every value by itself, clipped."""
    return _grey_levels(clip.float() + std * torch.randn(clip.shape, generator=generator))


def gaussian_blur(
    clip: UInt8[Tensor, "t h w c"], sigma: float, _: Generator
) -> UInt8[Tensor, "t h w c"]:
    """Every frame blurred by a Gaussian of `sigma` pixels, cut off at four of them.

    Beyond its edges a frame goes on with the pixels of the edge.
    """
    if sigma == 0:
        return clip
    radius = round(4 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (weights / weights.sum()).reshape(1, 1, 1, -1)
    planes = rearrange(clip, "t h w c -> (t c) 1 h w").float()
    wide = pad(planes, (radius, radius, radius, radius), mode="replicate")
    blurred = conv2d(conv2d(wide, kernel), kernel.mT)
    return _grey_levels(rearrange(blurred, "(t c) 1 h w -> t h w c", c=clip.shape[-1]))


def occlusion(
    clip: UInt8[Tensor, "t h w c"], side: float, generator: Generator
) -> UInt8[Tensor, "t h w c"]:
    """A grey square at one place over all frames; `side` is a share of the shorter side."""
    height, width = clip.shape[1:3]
    size = round(side * min(height, width))
    # shares of the room that is left: a larger square at the same shares covers a smaller one
    down, across = torch.rand(2, generator=generator).tolist()
    top, left = round(down * (height - size)), round(across * (width - size))
    covered = clip.clone()
    covered[:, top : top + size, left : left + size] = GREY
    return covered


def dropped_frames(
    clip: UInt8[Tensor, "t h w c"], share: float, generator: Generator
) -> UInt8[Tensor, "t h w c"]:
    """A share of the frames after the first, rounded up, replaced by the last frame kept before."""
    after_first = len(clip) - 1
    order = 1 + torch.randperm(after_first, generator=generator)
    shown = torch.arange(len(clip))
    shown[order[: -int(-share * after_first // 1)]] = 0
    return clip[shown.cummax(dim=0).values]


def slow_motion(
    clip: UInt8[Tensor, "t h w c"], factor: float, _: Generator
) -> UInt8[Tensor, "t h w c"]:
    """The clip's beginning, `factor` times slower: frame `i` is frame `i / factor`, rounded down.

    So looks a video that was filmed at a higher frame rate than it claims; frames are repeated,
    none is made up, and the end of the clip is not reached.
    """
    return clip[(torch.arange(len(clip)) / factor).long()]


def brightness(
    clip: UInt8[Tensor, "t h w c"], offset: float, _: Generator
) -> UInt8[Tensor, "t h w c"]:
    """Every value `offset` grey levels (of 255) higher, clipped."""
    return _grey_levels(clip.float() + offset)


def _grey_levels(values: Float[Tensor, "t h w c"]) -> Clip:
    return values.round().clamp(0, 255).to(torch.uint8)


CORRUPTIONS: dict[CorruptionName, Corruption] = {
    "gaussian_noise": Corruption(
        of_clip=gaussian_noise,
        strengths=(8.0, 16.0, 32.0, 64.0, 96.0),
        shown="noise of {} grey levels",
    ),
    "gaussian_blur": Corruption(
        of_clip=gaussian_blur, strengths=(0.5, 1.0, 2.0, 3.0, 5.0), shown="blur of {} pixels"
    ),
    "occlusion": Corruption(
        of_clip=occlusion, strengths=(0.2, 0.3, 0.4, 0.5, 0.6), shown="square of {} of the side"
    ),
    "dropped_frames": Corruption(
        of_clip=dropped_frames,
        strengths=(0.1, 0.25, 0.4, 0.55, 0.7),
        shown="{} of frames dropped",
    ),
    "slow_motion": Corruption(
        of_clip=slow_motion, strengths=(1.25, 1.5, 2.0, 3.0, 4.0), shown="{} times slower"
    ),
    "brightness": Corruption(
        of_clip=brightness,
        strengths=(16.0, 32.0, 48.0, 64.0, 96.0),
        shown="{} grey levels brighter",
    ),
}
"""By name, with five strengths each in the unit that its function states."""
