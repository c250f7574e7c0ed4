"""The distance V-JEPA regresses latents with."""

from typing import Literal

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.losses.token_mean import token_mean


def lp_loss(
    predicted: Float[Tensor, "b g m d"],
    target: Float[Tensor, "b g m d"],
    *,
    p: float,
    valid: Bool[Tensor, "b g m"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of |predicted - target|^p / p over the valid tokens, in fp32 (V-JEPA 2 has p = 1)."""
    distance = (predicted.float() - target.float()).abs()
    return token_mean(distance if p == 1 else distance**p / p, valid)


class Lp(StrictConfig):
    """The loss |predicted - target|^p / p."""

    name: Literal["lp"] = "lp"
    p: float = Field(default=1.0, ge=1.0)
    """The exponent; below 1 the gradient of a perfect prediction would be infinite."""

    def loss(
        self,
        predicted: Float[Tensor, "b g m d"],
        target: Float[Tensor, "b g m d"],
        valid: Bool[Tensor, "b g m"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean loss over the valid tokens, in fp32."""
        return lp_loss(predicted, target, p=self.p, valid=valid)
