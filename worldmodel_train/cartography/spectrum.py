"""How many directions latents use, and how far they spread: the monitors of collapse."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_WITHIN = 1e-4
"""What LiDAR adds to the covariance within samples, as its paper does: else it has no inverse."""


def rankme(latents: Float[Tensor, "p d"]) -> Float[Tensor, ""]:
    """The effective rank of `latents`: exp of the entropy of their normalised singular values.

    Source: Garrido et al. 2023, "RankMe", equation 1; latents are not centred. From 1 (all on
    one line) to min(p, d); 0 for latents that are all zero, NaN where any is not finite.
    """
    if not torch.isfinite(latents).all():
        return latents.new_full((), float("nan"), dtype=torch.float64)
    return _effective(_eigenvalues(_gram(latents.detach().double())).sqrt())


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


@dataclass(frozen=True, kw_only=True)
class CovarianceSpectrum:
    """How the variance of latents is spread over the directions that it has."""

    dimensions: Float[Tensor, ""]
    """The squared sum of the eigenvalues over the sum of their squares: k for k equal ones."""
    top_share: Float[Tensor, ""]
    """The share of the variance that lies in the first direction."""
    condition: Float[Tensor, ""]
    """The largest eigenvalue over the median one; the smallest is rounding where latents are
    layer-normed, as targets are. Infinite where less than half of the directions are used."""


def covariance_spectrum(latents: Float[Tensor, "p d"]) -> CovarianceSpectrum:
    """The spectrum of the covariance; NaN where a latent is not finite, or all are the same."""
    rows = latents.detach().double()
    if not torch.isfinite(rows).all():
        eigenvalues = rows.new_full((1,), float("nan"))
    else:
        eigenvalues = _eigenvalues(_gram(rows - rows.mean(dim=0)))
    total = eigenvalues.sum()
    return CovarianceSpectrum(
        dimensions=total.square() / eigenvalues.square().sum(),
        top_share=eigenvalues.max() / total,
        condition=eigenvalues.max() / eigenvalues.median(),
    )


def lidar(latents: Float[Tensor, "p d"], samples: Int[Tensor, " p"]) -> Float[Tensor, ""]:
    """The effective number of directions in which samples differ more than their own views do.

    Source: Thilak et al. 2023, "LiDAR" (arXiv 2312.04000): exp of the entropy of the eigenvalues of
    the covariance between samples, whitened by the one within samples. Its views are augmentations
    of an image; here they are the latents of one sample, whose number `samples` says: tokens of a
    clip under its masks, steps of an episode. At most the number of samples less one; 0 where they
    do not differ, NaN for fewer than two samples or where none has two latents.
    """
    names, place = samples.unique(return_inverse=True)
    if not 1 < len(names) < len(latents) or not torch.isfinite(latents).all():
        return latents.new_full((), float("nan"), dtype=torch.float64)
    rows = latents.detach().double()
    sums = rows.new_zeros(len(names), rows.shape[1]).index_add_(0, place, rows)
    means = sums / place.bincount()[:, None]
    between = means - means.mean(dim=0)
    within = (rows - means[place]) / len(rows) ** 0.5
    # these two have the same eigenvalues but for zeros, and the second is as small as the batch
    return _effective(_eigenvalues(between @ _whitened(within, between)))


def _whitened(within: Float[Tensor, "p d"], between: Float[Tensor, "s d"]) -> Float[Tensor, "d s"]:
    """The rows of `between` times the inverse of the regularised covariance of `within`."""
    if within.shape[0] < within.shape[1]:  # Woodbury's identity: the inverse of the smaller matrix
        gram = within @ within.T
        inner = gram + _WITHIN * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        seen = torch.cholesky_solve(within @ between.T, torch.linalg.cholesky(inner))
        return (between.T - within.T @ seen) / _WITHIN
    covariance = within.T @ within
    covariance.diagonal().add_(_WITHIN)
    return torch.cholesky_solve(between.T, torch.linalg.cholesky(covariance))


def _gram(rows: Float[Tensor, "p d"]) -> Float[Tensor, "k k"]:
    """The products of all rows, or of all columns where these are fewer.

    In float64 their roots are as exact as float32 latents are, and cost half of what singular
    values do.
    """
    return rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows


def _eigenvalues(symmetric: Float[Tensor, "k k"]) -> Float[Tensor, " k"]:
    """The eigenvalues of a matrix that has none below zero; those that are rounding are zero."""
    eigenvalues = torch.linalg.eigvalsh(symmetric)
    rounding = torch.finfo(eigenvalues.dtype).eps * len(symmetric) * eigenvalues[-1]
    return torch.where(eigenvalues > rounding, eigenvalues, 0.0)


def _effective(sizes: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Exp of the entropy of sizes that add up to one; 0 where all are 0."""
    total = sizes.sum()
    effective = torch.special.entr(sizes / total).sum().exp()
    return torch.where(total > 0, effective, torch.zeros_like(total))
