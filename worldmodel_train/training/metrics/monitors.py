"""Collapse monitors of one step's latents."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.cartography.spectrum import (
    covariance_spectrum,
    dimension_std,
    lidar,
    pairwise_cosine,
    rankme,
)
from worldmodel_train.training.metrics.joined_rows import JoinedRows

_WATCHED = "target"
"""What must not collapse; it alone is looked at closely, because each look costs eigenvalues."""


def latent_monitors(rows: Mapping[str, JoinedRows]) -> dict[str, float]:
    """Each monitor by the name of the latents and its own; no LiDAR where samples have one latent.

    RankMe, mean per-dimension std and mean pairwise cosine of all; of the targets the spectrum of
    their covariance and LiDAR as well.
    """
    values: dict[str, Float[Tensor, ""]] = {}
    for name, joined in rows.items():
        own = _monitors(joined.without_padding(), closely=name == _WATCHED)
        values |= {f"{name}_{key}": value for key, value in own.items()}
    return {name: value.item() for name, value in values.items()}


def _monitors(rows: JoinedRows, *, closely: bool) -> dict[str, Float[Tensor, ""]]:
    latents = rows.latents
    values = {
        "rankme": rankme(latents),
        "std": dimension_std(latents),
        "cosine": pairwise_cosine(latents),
    }
    if closely:
        spectrum = covariance_spectrum(latents)
        values |= {
            "dimensions": spectrum.dimensions,
            "top_share": spectrum.top_share,
            "condition": spectrum.condition,
        }
        if 1 < len(rows.samples.unique()) < len(latents):
            values["lidar"] = lidar(latents, rows.samples.long())
    return values
