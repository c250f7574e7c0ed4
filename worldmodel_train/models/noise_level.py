"""How a network is told the noise level of its input."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.models.linear import Linear
from worldmodel_train.models.sincos import THETA

WAVES = 128
LONGEST = 1000.0
"""Levels from 0 to 1 are spread over positions from 0 to this, as in DiT (arXiv 2212.09748)."""


class LevelEmbed(nn.Module):
    """Sines and cosines of the level at falling frequencies, through two linear maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = Linear(2 * WAVES, width)
        self.fc2 = Linear(width, width)

    def forward(self, level: Float[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """One vector for each level."""
        return self.fc2(functional.silu(self.fc1(waves(level))))


def waves(level: Float[Tensor, " b"]) -> Float[Tensor, "b _"]:
    """Sines, then cosines, in fp32."""
    octave = torch.arange(WAVES, device=level.device, dtype=torch.float32) / WAVES
    angles = LONGEST * level.float()[:, None] * torch.exp(-math.log(THETA) * octave)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)
