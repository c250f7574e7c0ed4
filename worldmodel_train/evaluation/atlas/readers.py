"""Reads known states from predictions, and finds the ways in which they lie in the past."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from sklearn.pipeline import Pipeline
from torch import Tensor

from worldmodel_train.cartography.interventions import unit
from worldmodel_train.evaluation.atlas.foresight import Foresight
from worldmodel_train.probes.states import (
    KnownState,
    fit_probe,
    mean_shifts,
    probe_directions,
    read_with,
)

_LUCK = 0.05
SHIFT, WEIGHTS = "mean shift", "probe's weights"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads a known state from predictions, and knows which ways it lies in the past."""

    state: KnownState
    weights: Float[ndarray, "c e"]
    """Of what is predicted, for each number of the state that varies: two of a place, one of a
    speed, one for each class."""
    offset: Float[ndarray, " c"]
    spread: Float[ndarray, " c"]
    """Of each of them, over films and moments."""
    ways: dict[str, Float[Tensor, "c e"]]
    """By how it was found, for each number a direction of length 1 in the past."""
    read_from_past: float
    read_from_future: float
    """Scores on films that nothing was fitted on."""

    def read(self, future: Float[ndarray, "r s e"]) -> Float[ndarray, "r s c"]:
        """The numbers in what is predicted."""
        return future @ self.weights.T + self.offset

    @property
    def knows(self) -> bool:
        """Whether predictions tell the state at all, by more than a probe does by luck."""
        return self.read_from_future > self.state.chance + _LUCK


def readers_of(foresight: Foresight, states: Sequence[KnownState]) -> list[Reader]:
    """One for each state that varies."""
    made = [_reader(foresight, state) for state in states]
    return [one for one in made if one is not None]


def _reader(foresight: Foresight, state: KnownState) -> Reader | None:
    generator = np.random.default_rng(0)
    fitted, seen = foresight.fitted, foresight.past.shape[1]
    targets, past = state.targets, foresight.past.numpy()
    before, later = targets[:fitted, :seen], targets[:fitted, seen:]
    varies = before.std(axis=(0, 1)) * later.std(axis=(0, 1)) > 0
    if not varies.any():
        return None
    future = foresight.future.numpy()
    probe = fit_probe(future[:fitted], later, generator)
    before_probe = fit_probe(past[:fitted], before, generator)
    ways = {
        SHIFT: mean_shifts(past[:fitted], before),
        WEIGHTS: probe_directions(before_probe),
    }
    return Reader(
        state=state,
        weights=probe_directions(probe)[varies],
        offset=read_with(probe, np.zeros_like(future[:1, :1]))[0, 0, varies],
        spread=later.std(axis=(0, 1))[varies],
        ways={name: unit(torch.from_numpy(way[varies]).float()) for name, way in ways.items()},
        read_from_past=_score(state, before_probe, past, slice(0, seen), fitted),
        read_from_future=_score(state, probe, future, slice(seen, None), fitted),
    )


def _score(
    state: KnownState,
    probe: Pipeline,
    features: Float[ndarray, "v t e"],
    moments: slice,
    fitted: int,
) -> float:
    read = read_with(probe, features[fitted:])
    there = replace(state, values=state.values[:, moments])
    return there.score(read.reshape(-1, read.shape[2]), np.arange(len(features)) >= fitted)
