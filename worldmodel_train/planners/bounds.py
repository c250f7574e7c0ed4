"""What actions are allowed."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The box of allowed actions; plans have its device and precision.

    A number of an action whose low is its high is the same in all plans.
    """

    low: Float[Tensor, " a"]
    high: Float[Tensor, " a"]

    def __post_init__(self) -> None:
        """Raises ValueError where no action is allowed."""
        if not bool((self.low <= self.high).all()):
            raise ValueError(
                f"actions between low={self.low.tolist()} and high={self.high.tolist()}: "
                "no low may be above its high"
            )

    @property
    def middle(self) -> Float[Tensor, " a"]:
        """The action between the bounds."""
        return (self.low + self.high) / 2

    @property
    def half_width(self) -> Float[Tensor, " a"]:
        """From the middle to a bound."""
        return (self.high - self.low) / 2

    def clip(self, actions: Float[Tensor, "*b a"]) -> Float[Tensor, "*b a"]:
        """The nearest allowed actions."""
        return torch.clamp(actions, self.low, self.high)
