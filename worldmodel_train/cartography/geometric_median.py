"""The point with the least sum of distances, which a few far points do not move."""

import torch
from jaxtyping import Float
from torch import Tensor

_NEAREST = 1e-6  # a distance that is divided by


@torch.no_grad()
def geometric_median(points: Float[Tensor, "n d"], *, iterations: int = 50) -> Float[Tensor, " d"]:
    """The geometric median, by Weiszfeld's iteration from the mean."""
    median = points.mean(0)
    for _ in range(iterations):
        weights = 1 / (points - median).norm(dim=-1, keepdim=True).clamp(min=_NEAREST)
        median = (weights * points).sum(0) / weights.sum()
    return median
