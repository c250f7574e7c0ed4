"""Collapse monitors of one step's latents."""

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.cartography.spectrum import dimension_std, pairwise_cosine, rankme

MAX_LATENTS = 1024  # rows for the singular values: enough for the rank, under a second of work


def spread_rows(latents: Float[Tensor, "p d"]) -> Float[Tensor, "r d"]:
    """At most `MAX_LATENTS` of the rows, evenly spread, in float32."""
    return latents[:: -(-len(latents) // MAX_LATENTS)].detach().float()


def latent_monitors(latents: Float[Tensor, "p d"]) -> dict[str, Float[Tensor, ""]]:
    """RankMe, mean per-dimension std and mean pairwise cosine, over evenly spread rows."""
    rows = spread_rows(latents)
    return {
        "rankme": rankme(rows),
        "std": dimension_std(rows),
        "cosine": pairwise_cosine(rows),
    }
