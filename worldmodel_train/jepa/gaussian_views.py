"""The Gaussians of hidden latents: what is predicted of them, and what is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldmodel_train.losses.gaussian_kl import Gaussian
from worldmodel_train.losses.token_mean import token_mean
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.types import GaussianPair, Masks


@dataclass(frozen=True, kw_only=True)
class GaussianViews:
    """Of the targets of one mask group, `b g m d`."""

    predicted: Gaussian
    """p, from the context alone."""
    seen: Gaussian
    """q, from the whole clip; the mean has no gradient, the spread has one."""
    valid: Bool[Tensor, "b g m"] | None

    @property
    def pair(self) -> GaussianPair:
        """What was predicted, and the mean of the target."""
        return gaussian_pair(self.predicted, self.seen.mean, self.valid)


def gaussian_pair(
    predicted: Gaussian, target: Float[Tensor, "b g m d"], valid: Bool[Tensor, "b g m"] | None
) -> GaussianPair:
    """A prediction beside what it is of."""
    return GaussianPair(
        predicted=predicted.mean, target=target, valid=valid, log_variance=predicted.log_variance
    )


def gathered(tokens: Gaussian, masks: Masks) -> Gaussian:
    """Of all tokens' Gaussians `b n d` those of a mask group's targets, `b g m d`."""
    index = masks.target_index
    return Gaussian(gather_sets(tokens.mean, index), gather_sets(tokens.log_variance, index))


def mean_nats(
    sums: Sequence[Float[Tensor, "_ _ _"]], views: Sequence[GaussianViews]
) -> Float[Tensor, ""]:
    """The mean for each number of what was summed over latents; mask groups weigh the same."""
    means = [
        token_mean(nats[..., None] / view.predicted.mean.shape[-1], view.valid)
        for nats, view in zip(sums, views, strict=True)
    ]
    return torch.stack(means).mean()
