"""The loss of visible tokens: the nearer to what is hidden, the more they count (V-JEPA 2.1)."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, NonNegativeInt, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.losses.token_mean import token_mean
from worldmodel_train.types import TokenGrid


def distances_to_targets(
    target_index: Int[Tensor, "b g m"],
    grid: TokenGrid,
    valid: Bool[Tensor, "b g m"] | None = None,
) -> Float[Tensor, "b g n"]:
    """How far each token of the grid is from the nearest target of each set, in tokens.

    Euclidean, over time, height and width alike, and exact: squares are added up one axis at a
    time. Farther than any two tokens are where a set has no target.
    """
    counted = torch.ones_like(target_index) if valid is None else valid.to(target_index.dtype)
    hidden = counted.new_zeros(*target_index.shape[:2], grid.num_tokens)
    hidden = hidden.scatter_add(2, target_index, counted) > 0
    farthest = float(sum(side**2 for side in grid))
    squares = torch.where(hidden, 0.0, farthest).unflatten(2, grid)
    for axis in (2, 3, 4):
        squares = _nearest_along(squares.movedim(axis, -1)).movedim(-1, axis)
    return squares.sqrt().flatten(2)


def context_loss(
    predicted: Float[Tensor, "b g k d"],
    target: Float[Tensor, "b g k d"],
    distance: Float[Tensor, "b g k"],
    valid: Bool[Tensor, "b g k"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of |predicted - target| / sqrt(distance) over the valid tokens, in fp32.

    The weights are not divided by their sum, so what is far from all targets adds little.
    """
    errors = (predicted.float() - target.float()).abs()
    # a visible token is at least one away; one that is padding may be anywhere
    return token_mean(errors * distance.clamp(min=1.0).rsqrt()[..., None], valid)


class ContextLoss(StrictConfig):
    """How much the loss of visible tokens counts beside that of hidden ones."""

    weight: NonNegativeFloat = 0.5
    """In the end."""
    from_step: NonNegativeInt = 15_000
    """Optimizer steps for which it is 0."""
    full_at: NonNegativeInt = 30_000
    """The step at which it has grown to `weight`, by a line."""
    far: Literal["less", "alike"] = "less"
    """Whether a token that is d tokens from the nearest hidden one counts 1/sqrt(d), or as all."""

    @model_validator(mode="after")
    def _grows_forwards(self) -> "ContextLoss":
        if self.full_at < self.from_step:
            raise ValueError(
                f"full_at={self.full_at} is before from_step={self.from_step}; use "
                f"full_at={self.from_step} or more"
            )
        return self

    def weight_at(self, step: int) -> float:
        """The weight in the optimizer step with index `step`."""
        if step >= self.full_at:
            return self.weight
        if step < self.from_step:
            return 0.0
        return self.weight * (step - self.from_step) / (self.full_at - self.from_step)

    def loss(
        self,
        predicted: Float[Tensor, "b g k d"],
        target: Float[Tensor, "b g k d"],
        distance: Float[Tensor, "b g k"],
        valid: Bool[Tensor, "b g k"] | None = None,
    ) -> Float[Tensor, ""]:
        """The mean L1 distance over the valid tokens, in fp32, without its weight."""
        steps = distance if self.far == "less" else torch.ones_like(distance)
        return context_loss(predicted, target, steps, valid)


def _nearest_along(squares: Float[Tensor, "*b s"]) -> Float[Tensor, "*b s"]:
    """The least of each square and those of others on the last axis, with the way to them added."""
    places = torch.arange(squares.shape[-1], device=squares.device, dtype=squares.dtype)
    ways = (places[:, None] - places) ** 2
    return rearrange(squares, "... s -> ... 1 s").add(ways).amin(dim=-1)
