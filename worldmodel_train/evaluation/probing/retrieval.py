"""How well the nearest clips of a gallery share a query's label, and what chance would give."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize


def ranked_relevance(
    gallery: Float[Tensor, "p d"],
    gallery_labels: Int[Tensor, "p"],
    queries: Float[Tensor, "q d"],
    query_labels: Int[Tensor, "q"],
) -> Bool[Tensor, "q p"]:
    """Whether each clip of the gallery has the query's label, the likest (by cosine) first.

    Features are standardised by the gallery, as for k-NN, or what all clips share would hide the
    rest.
    """
    mean, scale = gallery.double().mean(dim=0), gallery.double().std(dim=0, correction=0)
    scale = scale.where(scale > 0, 1.0)
    unit, asked = (normalize((one.double() - mean) / scale, dim=1) for one in (gallery, queries))
    order = (asked @ unit.T).argsort(dim=1, descending=True, stable=True)
    return gallery_labels[order] == query_labels[:, None]


def found_within(relevant: Bool[Tensor, "q p"], k: int) -> Float[Tensor, "q"]:
    """1 where a relevant clip is among the first `k` (what retrieval calls recall@k), else 0."""
    return relevant[:, :k].any(dim=1).float()


def average_precision(relevant: Bool[Tensor, "q p"]) -> Float[Tensor, "q"]:
    """The mean, over the places of relevant clips, of the share that is relevant up to there.

    0 for a query of which the gallery has none.
    """
    ranks = torch.arange(1, relevant.shape[1] + 1)
    precision = relevant.cumsum(dim=1) / ranks
    return (precision * relevant).sum(dim=1) / relevant.sum(dim=1).clamp(min=1)


def found_by_chance(num_relevant: Int[Tensor, "q"], num_gallery: int, k: int) -> Float[Tensor, "q"]:
    """The probability that a random order has a relevant clip among its first `k`."""
    taken = torch.arange(min(k, num_gallery))
    others = (num_gallery - num_relevant)[:, None] - taken
    return 1 - (others.clamp(min=0) / (num_gallery - taken)).prod(dim=1)


def precision_by_chance(num_relevant: Int[Tensor, "q"], num_gallery: int) -> Float[Tensor, "q"]:
    """The expected average precision of a random order.

    A relevant clip at rank k has (k - 1) clips before it, each relevant with probability
    s = (R - 1) / (N - 1); the mean of (1 + (k - 1) s) / k over ranks is s + (1 - s) H_N / N.
    """
    harmonic = (1 / torch.arange(1, num_gallery + 1)).sum() / num_gallery
    share = (num_relevant - 1) / max(1, num_gallery - 1)
    return (share + (1 - share) * harmonic).where(num_relevant > 0, 0.0)
