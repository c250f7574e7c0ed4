"""How many directions latents use, and how far they spread: the monitors of collapse."""

import torch
from jaxtyping import Float
from torch import Tensor


def rankme(latents: Float[Tensor, "p d"]) -> Float[Tensor, ""]:
    """The effective rank of `latents`: exp of the entropy of their normalised singular values.

    Source: Garrido et al. 2023, "RankMe", equation 1; latents are not centred. From 1 (all on
    one line) to min(p, d); 0 for latents that are all zero, NaN where any is not finite.
    """
    if not torch.isfinite(latents).all():
        return latents.new_full((), float("nan"), dtype=torch.float64)
    # float64: the small singular values of float32 latents are rounding, and there are many of them
    singular = torch.linalg.svdvals(latents.detach().double())
    total = singular.sum()
    effective = torch.special.entr(singular / total).sum().exp()
    return torch.where(total > 0, effective, torch.zeros_like(total))


def dimension_std(latents: Float[Tensor, "p d"]) -> Float[Tensor, ""]:
    """The standard deviation over `p` (divisor p), averaged over dimensions; 0 means collapse."""
    return latents.detach().double().std(dim=0, correction=0).mean()


def pairwise_cosine(latents: Float[Tensor, "p d"]) -> Float[Tensor, ""]:
    """The mean cosine between different latents; 1 means that all point the same way.

    Costs O(p d): the sum over all pairs is the squared norm of the sum of unit vectors. NaN for
    fewer than two latents.
    """
    num_latents = len(latents)
    unit = torch.nn.functional.normalize(latents.detach().double(), dim=1)
    off_diagonal = unit.sum(dim=0).square().sum() - unit.square().sum()
    return off_diagonal / (num_latents * (num_latents - 1) or float("nan"))
