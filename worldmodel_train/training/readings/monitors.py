"""Collapse monitors of one step's latents."""

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.cartography.spectrum import dimension_std, pairwise_cosine, rankme

MAX_LATENTS = 1024  # rows for the singular values: enough for the rank, milliseconds of work


def latent_monitors(latents: Float[Tensor, "p d"]) -> dict[str, Float[Tensor, ""]]:
    """RankMe, mean per-dimension std and mean pairwise cosine, over evenly spread rows."""
    rows = latents[:: -(-len(latents) // MAX_LATENTS)].detach().float()
    return {
        "rankme": rankme(rows),
        "std": dimension_std(rows),
        "cosine": pairwise_cosine(rows),
    }
