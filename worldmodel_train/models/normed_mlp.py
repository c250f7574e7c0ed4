"""The small networks of TD-MPC2 (arXiv 2310.16828): layers with LayerNorm and Mish, simplices."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class SimNorm(nn.Module):
    """Channels as simplices: a softmax over each stretch of `size`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, channels: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Stretches that each add up to 1, in fp32."""
        return channels.float().unflatten(-1, (-1, self.size)).softmax(dim=-1).flatten(-2)


def normed_mlp(widths: Sequence[int], *, dropout: float = 0.0) -> nn.Sequential:
    """Linear maps from each width to the next, with LayerNorm and Mish between them.

    Dropout, where there is any, follows the first. Weights begin small, biases at zero.
    """
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        layers.append(_linear(before, after))
        if number < len(widths) - 2:
            layers += [nn.Dropout(dropout)] if dropout and number == 0 else []
            layers += [nn.LayerNorm(after), nn.Mish()]
    return nn.Sequential(*layers)


def simplex_mlp(widths: Sequence[int], *, size: int) -> nn.Sequential:
    """The same, whose outputs are normed and become simplices of `size`."""
    return normed_mlp(widths).extend([nn.LayerNorm(widths[-1]), SimNorm(size)])


def _linear(before: int, after: int) -> nn.Linear:
    layer = nn.Linear(before, after)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
