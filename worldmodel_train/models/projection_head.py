"""The map from a clip's latent to what views are compared by."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from worldmodel_train.models.batch_norm import BatchNorm
from worldmodel_train.models.flops import Flops, once_each
from worldmodel_train.models.linear import Linear


def projection_head(widths: Sequence[int]) -> nn.Sequential:
    """Linear maps from each width to the next, with batch norm and ReLU between them.

    Each rank takes mean and variance of its own micro-batch.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [Linear(before, after), BatchNorm(after), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def head_parameters(widths: Sequence[int]) -> int:
    """Parameters of such a head."""
    linear = sum(before * after + after for before, after in pairwise(widths))
    return linear + 2 * sum(widths[1:-1])


def head_forward(widths: Sequence[int]) -> Flops:
    """One latent's way through such a head."""
    return Flops(linear=2.0 * sum(before * after for before, after in pairwise(widths)))


def data_head_step(widths: Sequence[int]) -> Flops:
    """The same and back, of what is data and needs no gradient."""
    return once_each(head_forward(widths)).plus(head_forward(widths[:2]).times(-1))
