"""The focal loss: what is answered well already counts for little (arXiv 1708.02002)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

ALPHA, GAMMA = 0.25, 2.0


def focal_loss(
    logits: Float[Tensor, "v classes"],
    labels: Bool[Tensor, "v classes"],
    *,
    alpha: float = ALPHA,
    gamma: float = GAMMA,
) -> Float[Tensor, ""]:
    """The sum over classes, each answered by a sigmoid of its own; the mean over videos.

    With p the probability that is given to what is the case, a class weighs (1 - p)^gamma, times
    alpha where it is true and 1 - alpha where it is not.
    """
    signed = torch.where(labels, logits, -logits)
    weight = torch.where(labels, alpha, 1 - alpha) * functional.sigmoid(-signed) ** gamma
    return -(weight * functional.logsigmoid(signed)).sum(-1).mean()
