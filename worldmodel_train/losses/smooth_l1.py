"""The distance I-JEPA regresses latents with."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.losses.token_mean import token_mean


def smooth_l1_loss(
    predicted: Float[Tensor, "b g m d"],
    target: Float[Tensor, "b g m d"],
    *,
    valid: Bool[Tensor, "b g m"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of the Huber loss with its corner at 1 over the valid tokens, in fp32."""
    errors = functional.smooth_l1_loss(predicted.float(), target.float(), reduction="none")
    return token_mean(errors, valid)


class SmoothL1(StrictConfig):
    """The loss that is quadratic below a distance of 1 and linear above."""

    name: Literal["smooth_l1"] = "smooth_l1"

    def loss(
        self,
        predicted: Float[Tensor, "b g m d"],
        target: Float[Tensor, "b g m d"],
        valid: Bool[Tensor, "b g m"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean loss over the valid tokens, in fp32."""
        return smooth_l1_loss(predicted, target, valid=valid)
