"""Telling a sample's other view from all other samples' (arXiv 1807.03748)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldmodel_train.collectives import all_ranks_rows, rank


def info_nce(
    queries: Float[Tensor, "b d"], keys: Float[Tensor, "b d"], *, temperature: float
) -> Float[Tensor, ""]:
    """The cross-entropy of finding each query's own key among the keys of all ranks, in fp32.

    By cosine over `temperature`. MoCo v3 (arXiv 2104.02057) adds it up both ways and multiplies it
    by twice the temperature. Keys of other ranks carry gradients to them, where they have any.
    """
    with torch.autocast(queries.device.type, enabled=False):
        asked, found = (functional.normalize(one.float(), dim=-1) for one in (queries, keys))
        logits = asked @ all_ranks_rows(found).T / temperature
        return functional.cross_entropy(logits, _own(len(queries), queries.device))


def nt_xent(
    one: Float[Tensor, "b d"], other: Float[Tensor, "b d"], *, temperature: float
) -> Float[Tensor, ""]:
    """SimCLR's loss (arXiv 2002.05709, equation 1): each of 2 b views against all others, in fp32.

    The others are those of all ranks, the query itself left out.
    """
    with torch.autocast(one.device.type, enabled=False):
        views = [functional.normalize(view.float(), dim=-1) for view in (one, other)]
        first, second = (all_ranks_rows(view) for view in views)
        own = _own(len(one), one.device)
        losses = []
        for view, alike, unlike in ((views[0], first, second), (views[1], second, first)):
            across, within = view @ unlike.T / temperature, view @ alike.T / temperature
            within = within.scatter(1, own[:, None], -torch.inf)
            losses.append(functional.cross_entropy(torch.cat((across, within), dim=1), own))
        return torch.stack(losses).mean()


def _own(count: int, device: torch.device) -> Tensor:
    """Which row of all ranks' is each of this rank's."""
    return rank() * count + torch.arange(count, device=device)
