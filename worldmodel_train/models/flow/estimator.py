"""Flow from coarse to fine: each level moves the second picture and mends what is left.

After PWC-Net (arXiv 1709.02371): warp, correlate, and a small network that says by how much the
flow of the coarser level is wrong. One network serves all levels, which a map to its width makes
alike.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.flops import Flops, once_each, total
from worldmodel_train.models.flow.correlation import local_correlation
from worldmodel_train.models.flow.warp import finer, warp
from worldmodel_train.models.projection_head import head_forward

_KERNEL = 3
_SLOPE = 0.1  # of what is below zero, as in PWC-Net


class FlowConfig(StrictConfig):
    """The estimator's size."""

    width: int = Field(default=64, gt=0)
    """Channels that features are mapped to, and of the network."""
    depth: int = Field(default=4, gt=0)
    """Convolutions of 3x3 before the one that gives the flow."""
    reach: int = Field(default=4, gt=0)
    """Places to each side that a place is compared with, at every level."""
    finest: int = Field(default=0, ge=0)
    """The finest level that mends the flow, counted from the picture's own size; finer ones take it
    as it is."""

    def build(self, widths: Sequence[int]) -> "FlowEstimator":
        """A freshly drawn estimator for levels of so many channels, the finest first."""
        return FlowEstimator(self, widths)


def flow_step(config: FlowConfig, widths: Sequence[int], height: int, width: int) -> Flops:
    """Of the flow from a picture to another, forward and backward; pictures are of this size."""
    inner, around = config.width, 2 * config.reach + 1
    told = inner + around**2 + 2
    layers = (told, *[inner] * config.depth, 2)
    found = total(head_forward((_KERNEL**2 * a, b)) for a, b in pairwise(layers))
    steps = []
    for level, channels in enumerate(widths):
        if level >= config.finest:
            rows, columns = height // 2**level, width // 2**level
            # whole rows are compared, of which a band is wanted
            alike = Flops(linear=2.0 * around * (columns + 2 * config.reach) * inner)
            mapped = head_forward((channels, inner)).times(2)
            steps.append(total((mapped, alike, found)).times(rows * columns))
    return once_each(total(steps))


class FlowEstimator(nn.Module):
    """Flow at every level of a pyramid."""

    def __init__(self, config: FlowConfig, widths: Sequence[int]) -> None:
        super().__init__()
        self.reach, self.finest = config.reach, config.finest
        self.maps = nn.ModuleList(nn.Conv2d(w, config.width, 1) for w in widths[config.finest :])
        told = config.width + (2 * config.reach + 1) ** 2 + 2
        layers: list[nn.Module] = []
        for before in (told, *[config.width] * (config.depth - 1)):
            layers += [nn.Conv2d(before, config.width, _KERNEL, padding=1), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.mend = nn.Conv2d(config.width, 2, _KERNEL, padding=1)
        # nothing moves at the beginning, and what would is small
        nn.init.normal_(self.mend.weight, std=1e-3)
        assert self.mend.bias is not None, "convolutions have one"
        nn.init.zeros_(self.mend.bias)

    def forward(
        self, first: Sequence[Float[Tensor, "b _ _ _"]], second: Sequence[Float[Tensor, "b _ _ _"]]
    ) -> list[Float[Tensor, "b 2 _ _"]]:
        """The flow of each level, in its pixels and in fp32; levels are the finest first."""
        coarsest = first[-1]
        flow = coarsest.new_zeros(len(coarsest), 2, *coarsest.shape[2:], dtype=torch.float32)
        flows = []
        for level in reversed(range(len(first))):
            flow = finer(flow, *first[level].shape[2:])
            if level >= self.finest:
                to_width = self.maps[level - self.finest]
                flow = flow + self._lacking(to_width(first[level]), to_width(second[level]), flow)
            flows.append(flow)
        return flows[::-1]

    def _lacking(
        self,
        first: Float[Tensor, "b d h w"],
        second: Float[Tensor, "b d h w"],
        flow: Float[Tensor, "b 2 h w"],
    ) -> Float[Tensor, "b 2 h w"]:
        """What the flow lacks, in fp32."""
        alike = local_correlation(_unit(first), _unit(warp(second, flow)), self.reach)
        seen = torch.cat((functional.leaky_relu(alike, _SLOPE), first, flow), dim=1)
        return self.mend(self.layers(seen)).float()


def _unit(features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    """Scaled so that the mean product of a place with itself is 1."""
    return functional.normalize(features.float(), dim=1) * features.shape[1] ** 0.5
