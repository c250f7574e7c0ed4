"""Numbers as a distribution over two neighbouring bins in symlog space (DreamerV3, TD-MPC2).

A cross-entropy over bins has gradients of one size whatever the size of the numbers, and symlog
spaces bins evenly for small ones and ever wider for large ones.
"""

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig


def symlog(numbers: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The logarithm of one more than the size, with the sign."""
    return numbers.sign() * numbers.abs().log1p()


def symexp(numbers: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """What `symlog` makes of it is the argument."""
    return numbers.sign() * numbers.abs().expm1()


class TwoHot(StrictConfig):
    """Bins of even width in symlog space; the defaults are TD-MPC2's (arXiv 2310.16828)."""

    bins: int = Field(default=101, gt=1)
    """Bins, the outermost centred at `low` and `high`."""
    low: float = -10.0
    """Symlog of the smallest number; smaller ones count as it."""
    high: float = 10.0
    """Symlog of the largest number; larger ones count as it."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "TwoHot":
        if not self.low < self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}; swap them")
        return self

    def decode(self, logits: Float[Tensor, "*b {self.bins}"]) -> Float[Tensor, "*b"]:
        """The number whose symlog is the mean over the bins, in fp32."""
        centres = torch.linspace(self.low, self.high, self.bins, device=logits.device)
        return symexp(logits.float().softmax(dim=-1) @ centres)

    def loss(
        self, logits: Float[Tensor, "*b {self.bins}"], numbers: Float[Tensor, "*b"]
    ) -> Float[Tensor, "*b"]:
        """The cross-entropy with the two bins around each number whose mean is it, in fp32."""
        width = (self.high - self.low) / (self.bins - 1)
        place = (symlog(numbers.float()).clamp(self.low, self.high) - self.low) / width
        below = place.floor().clamp(max=self.bins - 2)
        index, above = below.long()[..., None], place - below
        logs = logits.float().log_softmax(dim=-1)
        lower, upper = logs.gather(-1, index), logs.gather(-1, index + 1)
        return -torch.lerp(lower[..., 0], upper[..., 0], above)
