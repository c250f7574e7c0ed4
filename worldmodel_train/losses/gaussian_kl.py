"""How far one diagonal Gaussian is from another."""

from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Independent numbers, each with a mean and the logarithm of its variance."""

    mean: Float[Tensor, "*b d"]
    log_variance: Float[Tensor, "*b d"]

    @classmethod
    def standard(cls, like: Float[Tensor, "*b d"]) -> "Gaussian":
        """Mean 0 and variance 1, of this shape."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def log_density(self, value: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """The logarithm of the density at `value`, summed over the last axis."""
        squares = (value - self.mean).square() * torch.exp(-self.log_variance)
        return -0.5 * (squares + self.log_variance + _LOG_2_PI).sum(dim=-1)


def kl_divergence(one: Gaussian, other: Gaussian) -> Float[Tensor, "*b"]:
    """KL(one || other) in nats, summed over the last axis, in fp32; not symmetric."""
    mean, variance = one.mean.float(), one.log_variance.float()
    others_mean, others_variance = other.mean.float(), other.log_variance.float()
    squares = (mean - others_mean).square() + variance.exp()
    ratio = squares * torch.exp(-others_variance)
    return 0.5 * (ratio - 1 + others_variance - variance).sum(dim=-1)


def cross_entropy(one: Gaussian, other: Gaussian) -> Float[Tensor, "*b"]:
    """-log of the density of `other`, in the mean over `one`, in nats, summed over the last axis.

    In fp32. It is the divergence and the entropy of `one` together; samples would only estimate it.
    """
    log_variance = other.log_variance.float()
    squares = (one.mean.float() - other.mean.float()).square() + one.log_variance.float().exp()
    return 0.5 * (squares * torch.exp(-log_variance) + log_variance + _LOG_2_PI).sum(dim=-1)


def product_of_experts(*experts: Gaussian) -> Gaussian:
    """The Gaussian whose density is proportional to the product of all; shapes are broadcast."""
    precisions = [torch.exp(-expert.log_variance) for expert in experts]
    total = reduce(add, precisions)
    weighted = [p * expert.mean for p, expert in zip(precisions, experts, strict=True)]
    return Gaussian(reduce(add, weighted) / total, -total.log())


_LOG_2_PI = 1.8378770664093453
