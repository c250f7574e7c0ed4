"""Straight paths between clips and noise: how to go there, and how to come back.

At level s the path is x_s = (1 - s) x + s e, with noise e, and its velocity dx_s/ds = e - x (flow
matching, arXiv 2210.02747; rectified flow, arXiv 2209.03003). A network that answers with the
clean x is scored by the velocity that follows from it, (x_s - x) / s: it then need not carry the
noise, which fills all dimensions of a patch, through a narrower stream (arXiv 2511.13720).
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig

SMALLEST_LEVEL = 0.05
"""What errors of an estimate are divided by at least (arXiv 2511.13720)."""


class LogitNormal(StrictConfig):
    """Levels whose logit is normally distributed (arXiv 2403.03206)."""

    mean: float = 0.8
    """Above 0 there is more noise than clip: -0.8 of arXiv 2511.13720, which counts from noise."""
    std: float = Field(default=0.8, gt=0)
    """Spread of the logit."""

    def draw(self, num: int, device: torch.device) -> Float[Tensor, " {num}"]:
        """Levels from torch's global generator, in fp32."""
        return torch.sigmoid(self.mean + self.std * torch.randn(num, device=device))


def noised(
    clean: Float[Tensor, "b *x"], noise: Float[Tensor, "b *x"], level: Float[Tensor, " b"]
) -> Float[Tensor, "b *x"]:
    """The points of the paths at these levels."""
    return torch.lerp(clean, noise, _beside(level, clean))


def velocity(
    point: Float[Tensor, "b *x"], clean: Float[Tensor, "b *x"], level: Float[Tensor, " b"]
) -> Float[Tensor, "b *x"]:
    """Where the paths through `point` lead that began at `clean`; levels are above 0."""
    return (point - clean) / _beside(level, clean)


def velocity_loss(
    estimate: Float[Tensor, "b *x"], clean: Float[Tensor, "b *x"], level: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Mean squared error of the velocity that follows from an estimate of `clean`, in fp32."""
    error = (estimate.float() - clean.float()) / _beside(level, clean).clamp_min(SMALLEST_LEVEL)
    return error.square().mean()


def from_noise(
    denoise: Callable[[Tensor, Tensor], Tensor], noise: Float[Tensor, "b *x"], *, steps: int
) -> Float[Tensor, "b *x"]:
    """Where `noise` comes from: Euler's steps from level 1 to 0, equally long.

    `denoise(point, level)` estimates the clean sample; the last step ends at its estimate.
    """
    point = noise
    levels = torch.linspace(1.0, 0.0, steps + 1, device=noise.device)
    for now, then in pairwise(levels):
        level = now.expand(len(noise))
        point = point + (then - now) * velocity(point, denoise(point, level), level)
    return point


def _beside(level: Tensor, clip: Tensor) -> Tensor:
    return level.view(-1, *[1] * (clip.ndim - 1))
