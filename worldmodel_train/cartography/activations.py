"""Which features of a token a sparse autoencoder keeps.

All three are given `active`: each token's number, a batch's mean, or the mean that is aimed at.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.collectives import copy_from_first_rank, mean_over_ranks
from worldmodel_train.config import StrictConfig


class TopK(StrictConfig):
    """The `active` largest features of each token (arXiv 2406.04093)."""

    name: Literal["topk"] = "topk"

    def build(self, *, active: int, features: int, width: int) -> "TopKActivation":
        """It has no state."""
        del features, width
        return TopKActivation(active)


class BatchTopK(StrictConfig):
    """The largest features of a batch, `active` a token on average (arXiv 2412.06410).

    In training, of the tokens of one rank's micro-batch. Afterwards no token hears of others: it
    keeps features above a threshold, the mean over batches of the least that a batch has kept.
    """

    name: Literal["batch_topk"] = "batch_topk"
    memory: float = Field(ge=0, lt=1, default=0.99)
    """Share of the threshold that stays in a step. Ours: features grow while they are learned, so
    that the mean is over the last hundred or so."""

    def build(self, *, active: int, features: int, width: int) -> "BatchTopKActivation":
        """A threshold that has seen nothing yet."""
        del features, width
        return BatchTopKActivation(active, self.memory)


class JumpRelu(StrictConfig):
    """Features above a threshold that each learns (arXiv 2407.14435).

    A step has no slope, so thresholds are given that of an expectation: the mean over a window
    about them. Ours, so that `active` means what it means elsewhere and there is no price to tune:
    the penalty is no price of each active feature, but the square of how far their mean number is
    from `active`, as a share of it; and thresholds begin where the first batch has so many, not
    near zero, from where they would be long on the way.
    """

    name: Literal["jumprelu"] = "jumprelu"
    bandwidth: float = Field(gt=0, default=1e-3)
    """Width of the window where latents have a mean squared length of 1, as published. In a wider
    one more tokens speak, which a small batch may need, and the slope is less true."""
    sparsity: float = Field(ge=0, default=1.0)
    """Weight of the penalty beside the share of variance that is not explained."""

    def build(self, *, active: int, features: int, width: int) -> "JumpReluActivation":
        """Thresholds that have seen nothing yet; latents have a mean squared length of `width`."""
        return JumpReluActivation(
            active, features, bandwidth=self.bandwidth * width**0.5, sparsity=self.sparsity
        )


ActivationConfig = Annotated[TopK | BatchTopK | JumpRelu, Field(discriminator="name")]


class Activation(nn.Module):
    """Which features each token keeps by itself is `forward`; what only some add to it is here."""

    def __init__(self, active: int) -> None:
        super().__init__()
        self.active = active

    def begin(self, before: Float[Tensor, "n f"]) -> None:
        """Sees the first batch of a run before all else."""
        del before

    def of_batch(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """How much of each feature the tokens of a batch keep in training, and zeros."""
        return self(before)

    def penalty(self, before: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """What the loss has beside the error."""
        return before.new_zeros(())


class TopKActivation(Activation):
    """See `TopK`."""

    def forward(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """The largest of each token where they are above zero, and zeros."""
        return top(before, self.active)


class BatchTopKActivation(Activation):
    """See `BatchTopK`."""

    threshold: Tensor
    batches: Tensor

    def __init__(self, active: int, memory: float) -> None:
        super().__init__(active)
        self.memory = memory
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """What is above the threshold, and zeros."""
        return before * (before > self.threshold)

    def of_batch(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """The largest of all tokens together where they are above zero, and zeros."""
        kept = top(before.flatten()[None], self.active * len(before))[0]
        self._follow(kept.detach())
        return kept.view_as(before)

    @torch.no_grad()
    def _follow(self, kept: Float[Tensor, " k"]) -> None:
        """The mean of what batches keep at least: of all at first, later of the last ones."""
        least = kept.masked_fill(kept <= 0, torch.inf).min().float()
        least = mean_over_ranks(least)
        found = least.isfinite()  # a batch of a rank may keep nothing
        rate = (1 / (self.batches + 1)).clamp(min=1 - self.memory)
        self.threshold.copy_(torch.where(found, self.threshold.lerp(least, rate), self.threshold))
        self.batches.add_(found)


class JumpReluActivation(Activation):
    """See `JumpRelu`."""

    def __init__(self, active: int, features: int, *, bandwidth: float, sparsity: float) -> None:
        super().__init__(active)
        self.bandwidth = bandwidth
        self.sparsity = sparsity
        self.log_threshold = nn.Parameter(torch.zeros(features))

    def forward(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """What is above its threshold, and zeros."""
        threshold = self.log_threshold.exp()
        kept = before * (before > threshold)
        return _straight_through(kept, -threshold * self._window(before), threshold)

    def penalty(self, before: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        """How far the mean number of active features is from `active`; only thresholds heed it."""
        threshold = self.log_threshold.exp()
        above = (before > threshold).float()
        number = _straight_through(above, -self._window(before), threshold).sum(-1).mean()
        return self.sparsity * (number / self.active - 1).square()

    @torch.no_grad()
    def begin(self, before: Float[Tensor, "n f"]) -> None:
        """All thresholds where as many features are above them as there should be."""
        least = before.flatten().topk(self.active * len(before), sorted=False).values.min()
        self.log_threshold.fill_(least.float().clamp(min=self.bandwidth).log())
        copy_from_first_rank(self.log_threshold.data)

    @torch.no_grad()
    def _window(self, before: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """The rectangle about each threshold, of area 1."""
        inside = (before - self.log_threshold.exp()).abs() < self.bandwidth / 2
        return inside / self.bandwidth


def _straight_through(
    value: Float[Tensor, "n f"], slope: Float[Tensor, "n f"], by: Float[Tensor, " f"]
) -> Float[Tensor, "n f"]:
    """The value, as if its derivative by `by` were the slope."""
    return value + slope.detach() * (by - by.detach())


def top(before: Float[Tensor, "n f"], most: int) -> Float[Tensor, "n f"]:
    """The `most` largest of each row where they are above zero, and zeros."""
    values, index = before.topk(most, dim=-1)
    return torch.zeros_like(before).scatter(-1, index, values.relu())
