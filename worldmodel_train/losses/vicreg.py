"""What keeps latents from collapsing in VICReg (arXiv 2105.04906): variance and covariance.

Samples are those of all ranks, as in the released code; each has equally many.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldmodel_train.collectives import all_ranks_rows

VARIANCE_EPS = 1e-4
"""Added to a variance before its root, whose slope is infinite at 0."""


def variance_loss(latents: Float[Tensor, "t b d"], *, margin: float = 1.0) -> Float[Tensor, ""]:
    """How far the standard deviation of a channel over the batch is below `margin`, on average.

    Over time steps and channels, in fp32.
    """
    with torch.autocast(latents.device.type, enabled=False):
        spread = torch.sqrt(_of_all_ranks(latents).var(dim=1) + VARIANCE_EPS)
        return functional.relu(margin - spread).mean()


def covariance_loss(latents: Float[Tensor, "t b d"]) -> Float[Tensor, ""]:
    """The mean squared covariance of two different channels over the batch, in fp32.

    Over time steps and pairs. VICReg divides the sum over pairs by d, and not by their number.
    """
    width = latents.shape[-1]
    with torch.autocast(latents.device.type, enabled=False):
        samples = _of_all_ranks(latents)
        centered = samples - samples.mean(dim=1, keepdim=True)
        covariance = centered.mT @ centered / (samples.shape[1] - 1)
        own = covariance.diagonal(dim1=1, dim2=2)
        return (covariance.square().sum() - own.square().sum()) / (
            len(latents) * width * (width - 1)
        )


def _of_all_ranks(latents: Float[Tensor, "t b d"]) -> Float[Tensor, "t _ d"]:
    return all_ranks_rows(latents.float().transpose(0, 1)).transpose(0, 1)
