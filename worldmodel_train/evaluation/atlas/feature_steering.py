"""What features of a sparse autoencoder do to predictions when they are added to the past."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from worldmodel_train.cartography.event_alignment import areas
from worldmodel_train.cartography.interventions import random_directions, steered
from worldmodel_train.cartography.sparse_autoencoder import SparseAutoencoder
from worldmodel_train.evaluation.atlas.foresight import Foresight
from worldmodel_train.evaluation.atlas.readers import Reader
from worldmodel_train.evaluation.atlas.steering import RANDOM

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Added:
    """What adding a direction to all tokens of the past does to the prediction."""

    change: float
    """Root mean square, as a share of how far predictions are from their mean."""
    cosine: float
    """Of predictions before and after, each less the mean of those before."""
    states: tuple[float, ...]
    """How far each of them moves, whichever way, in its own standard deviations."""


def add(foresight: Foresight, direction: Float[Tensor, " d"], readers: Sequence[Reader]) -> Added:
    """The same direction at every token, as long as the longest push of a state."""
    quarters = foresight.quarters.of_token.shape[1]
    moments = foresight.moments
    before = foresight.after(moments)
    after = foresight.after(steered(moments, direction.repeat(quarters), foresight.spread))
    mean = before.mean(axis=(0, 1))
    old, new = (rearrange(one - mean, "r s e -> (r s) e") for one in (before, after))
    lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    return Added(
        change=float(np.sqrt(((new - old) ** 2).sum() / (old**2).sum())),
        cosine=float(((old * new).sum(axis=1) / lengths).mean()),
        states=tuple(_moved(one, before, after) for one in readers),
    )


def _moved(
    reader: Reader, before: Float[ndarray, "r s e"], after: Float[ndarray, "r s e"]
) -> float:
    changes = (reader.read(after) - reader.read(before)).mean(axis=(0, 1))
    return float(np.abs(changes).sum() / reader.spread.sum())


def add_at_random(foresight: Foresight, readers: Sequence[Reader]) -> list[Added]:
    """The same of directions that know nothing."""
    width = foresight.contexts.shape[2]
    return [add(foresight, way, readers) for way in random_directions(RANDOM, width, seed=1)]


def top_features(
    model: SparseAutoencoder, foresight: Foresight, events: dict[str, Bool[ndarray, "r t"]]
) -> dict[int, str]:
    """Features of the past by number, and what each goes with: events, or many tokens.

    Each event's is the one that is most often stronger at the event; all others are the strongest.
    """
    active = _active(model, foresight)
    chosen: dict[int, str] = {}
    for name, happens in events.items():
        found = areas(active, happens)
        if not np.isnan(found).any():
            chosen.setdefault(int(found.argmax()), name)
    for number in np.argsort(-active.mean(axis=(0, 1)), kind="stable"):
        if len(chosen) >= _SHOWN:
            break
        chosen.setdefault(int(number), "often strong")
    return chosen


@torch.no_grad()
def _active(model: SparseAutoencoder, foresight: Foresight) -> Float[ndarray, "r t f"]:
    places = len(foresight.quarters.of_token)
    parts = [
        reduce(model.encode(part), "r (t p) f -> r t f", "max", p=places)
        for part in foresight.contexts.split(8)
    ]
    return torch.cat(parts).numpy()
