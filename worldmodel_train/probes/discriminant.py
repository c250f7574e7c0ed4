"""A linear classifier of features that come bit by bit and change: nothing in it is tuned.

Linear discriminant analysis in closed form, of sums in which what came earlier weighs less and
less. Its covariance is shrunk as much as the number of samples asks for (OAS, Chen et al. 2010).
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

_MEMORY = 10
"""Samples that count, for each number that is fitted to them."""
_FLOOR = 1e-6
"""Least variance of a direction, where the total one is 1: features may be constant."""


@dataclass(frozen=True, kw_only=True)
class Discriminant:
    """What is left of all samples so far; all of it may be on a device."""

    counts: Float64[Tensor, " classes"]
    """The weight of each class."""
    squares: Float64[Tensor, ""]
    """The sum of the squared weights of the samples."""
    sums: Float64[Tensor, "classes d"]
    gram: Float64[Tensor, "d d"]
    """The sum of the outer products of features."""

    @classmethod
    def of_nothing(cls, classes: int, width: int, device: torch.device | str) -> "Discriminant":
        """That of no samples."""
        zeros = partial(torch.zeros, dtype=torch.float64, device=device)
        return cls(
            counts=zeros(classes),
            squares=zeros(()),
            sums=zeros(classes, width),
            gram=zeros(width, width),
        )

    def with_more(
        self, features: Float64[Tensor, "p d"], classes: Float64[Tensor, "p classes"]
    ) -> "Discriminant":
        """The same after more samples; a row of `classes` has a 1 at its class.

        A row without one is no sample, and its features must be 0.
        """
        keep = (1.0 - classes.sum() / (_MEMORY * sum(self.sums.shape))).clamp(min=0)
        return Discriminant(
            counts=keep * self.counts + classes.sum(dim=0),
            squares=keep**2 * self.squares + classes.sum(),
            sums=keep * self.sums + classes.T @ features,
            gram=keep * self.gram + features.T @ features,
        )

    def scores(self, features: Float64[Tensor, "p d"]) -> Float64[Tensor, "p classes"]:
        """How likely each class is, as a logarithm up to a number of each row's own.

        A class that never was is impossible. Nothing here waits for the device.
        """
        weight = self.counts.sum().clamp(min=1)
        center = self.sums.sum(dim=0) / weight
        scale = (self.gram.diagonal() / weight - center**2).clamp(min=_FLOOR).sqrt()
        means = self.sums / self.counts.clamp(min=_FLOOR)[:, None]
        between = means.T @ (self.counts[:, None] * means)
        within = (self.gram - between) / weight / (scale * scale[:, None])
        factor, _ = torch.linalg.cholesky_ex(self._shrunk(within))
        apart = torch.where(self.counts[:, None] > 0, (means - center) / scale, 0.0)
        maps = torch.cholesky_solve(apart.T, factor)
        offsets = self.counts.log() - (apart * maps.T).sum(dim=1) / 2
        return (features - center) / scale @ maps + offsets

    def _shrunk(self, covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
        """Drawn towards that of a ball, the more the fewer samples there are."""
        width = len(covariance)
        samples = self.counts.sum() ** 2 / self.squares.clamp(min=1)
        mean = covariance.diagonal().mean()
        spread = covariance.square().mean()
        excess = (samples + 1) * (spread - mean**2 / width)
        share = ((spread + mean**2) / excess.clamp(min=1e-300)).clamp(max=1)
        ball = torch.eye(width, dtype=covariance.dtype, device=covariance.device)
        return (1 - share) * covariance + (share * mean.clamp(min=0) + _FLOOR) * ball
