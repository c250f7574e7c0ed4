"""Reads known states from features by a linear map: how well, on videos that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from worldmodel_train.probes.linear import RIDGE_PENALTIES

HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class KnownState:
    """What is known of each moment of each video."""

    name: str
    kind: Literal["event", "class", "value"]
    """Scored by area under the ROC curve, accuracy, or share of the variance."""
    values: Shaped[ndarray, "v t *k"]

    @property
    def chance(self) -> float:
        """The score of one who knows nothing but how often each value is."""
        match self.kind:
            case "event":
                return 0.5
            case "class":
                return float(np.bincount(self.values.ravel()).max() / self.values.size)
            case "value":
                return 0.0

    @property
    def targets(self) -> Float[ndarray, "v t c"]:
        """The columns that are fitted."""
        if self.kind == "class":
            return np.eye(int(self.values.max()) + 1)[self.values]
        return self.values.reshape(*self.values.shape[:2], -1).astype(float)

    def score(self, read: Float[ndarray, "s c"], held_out: Bool[ndarray, " v"]) -> float:
        """How well what was read fits the held-out videos; NaN where an event never is, or ever."""
        truth = self.values[held_out].reshape(-1, *self.values.shape[2:])
        match self.kind:
            case "event":
                if truth.all() or not truth.any():
                    return float("nan")
                return float(roc_auc_score(truth, read[:, 0]))
            case "class":
                return float((read.argmax(axis=1) == truth).mean())
            case "value":
                return float(r2_score(truth.reshape(len(truth), -1), read))


def state_scores(
    features: Float[ndarray, "v t d"],
    states: Sequence[KnownState],
    *,
    splits: int,
    shuffled: bool = False,
) -> dict[str, tuple[float, ...]]:
    """For each state its score in each split of the videos; `shuffled` gives videos others' states.

    One ridge regression reads all states. For each number the penalty is the one that reads it best
    on training videos that are held back: moments of one video are too alike to judge each other.
    """
    scores: dict[str, list[float]] = {state.name: [] for state in states}
    for split in range(splits):
        generator = np.random.default_rng(split)
        held_out = _held_out(generator, len(features))
        order = generator.permutation(len(features)) if shuffled else np.arange(len(features))
        known = [replace(state, values=state.values[order]) for state in states]
        targets = np.concatenate([state.targets for state in known], axis=2)
        probe = fit_probe(features[~held_out], targets[~held_out], generator)
        read = probe.predict(_flat(features[held_out])).reshape(-1, targets.shape[2])
        first = 0
        for state in known:
            last = first + state.targets.shape[2]
            scores[state.name].append(state.score(read[:, first:last], held_out))
            first = last
    return {name: tuple(values) for name, values in scores.items()}


def fit_probe(
    features: Float[ndarray, "v t d"],
    targets: Float[ndarray, "v t c"],
    generator: np.random.Generator,
) -> Pipeline:
    """Ridge regression on standardised features, with a penalty for each column of targets."""
    back = _held_out(generator, len(features))
    truth = _flat(targets[back])
    errors = []
    for penalty in RIDGE_PENALTIES:
        tried = make_pipeline(StandardScaler(), Ridge(penalty))
        tried.fit(_flat(features[~back]), _flat(targets[~back]))
        read = tried.predict(_flat(features[back])).reshape(truth.shape)
        errors.append(((read - truth) ** 2).mean(axis=0))
    penalties = np.array(RIDGE_PENALTIES)[np.argmin(errors, axis=0)]
    probe = make_pipeline(StandardScaler(), Ridge(penalties))  # pyright: ignore[reportArgumentType] - each column has its own
    return probe.fit(_flat(features), _flat(targets))


def read_with(probe: Pipeline, features: Float[ndarray, "v t d"]) -> Float[ndarray, "v t c"]:
    """What a probe reads from each moment."""
    return probe.predict(_flat(features)).reshape(*features.shape[:2], -1)


def probe_directions(probe: Pipeline) -> Float[ndarray, "c d"]:
    """Of each number that a probe reads the direction in which what is read grows fastest."""
    scaler, ridge = probe.named_steps["standardscaler"], probe.named_steps["ridge"]
    return np.atleast_2d(ridge.coef_) / scaler.scale_


def mean_shifts(
    features: Float[ndarray, "v t d"], targets: Float[ndarray, "v t c"]
) -> Float[ndarray, "c d"]:
    """Of each number how features shift with it: their slope on it, where it varies.

    Not what a probe weighs: a probe also takes out what else varies in the features.
    """
    features, targets = _flat(features), _flat(targets)
    known = targets - targets.mean(axis=0)
    variance = (known**2).sum(axis=0)[:, None]
    together = known.T @ (features - features.mean(axis=0))
    return np.divide(together, variance, out=np.zeros_like(together), where=variance > 0)


def _held_out(generator: np.random.Generator, videos: int) -> Bool[ndarray, " v"]:
    held_out = np.zeros(videos, dtype=bool)
    held_out[generator.permutation(videos)[: max(1, int(videos * HELD_OUT_SHARE))]] = True
    return held_out


def _flat(values: Float[ndarray, "v t d"]) -> Float[ndarray, "s d"]:
    return values.reshape(-1, values.shape[2]).astype(np.float64)
