"""Whether a known state that is changed in the past changes in the predicted future."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from worldmodel_train.cartography.interventions import (
    ablated,
    random_directions,
    steered,
    swapped,
)
from worldmodel_train.evaluation.atlas.foresight import Foresight
from worldmodel_train.evaluation.atlas.readers import SHIFT, WEIGHTS, Reader

STRENGTHS = (-1.0, -0.5, 0.5, 1.0)
"""Lengths of pushes, as shares of how far a moment is from the mean of all."""
RANDOM = 16
"""Directions that know nothing."""

ANY, MIXED = "random directions", "random mixtures of films"

Futures = list[Float[ndarray, "r s e"]]
"""What is predicted after an edit, for one direction after another."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What an edit does, and what it does along directions that know nothing."""

    along: float
    by_luck: dict[str, tuple[float, ...]]
    """Of each kind of such directions."""

    def band(self, kind: str) -> float:
        """What 95 % of them stay below, whichever way."""
        return 1.96 * float(np.sqrt(np.mean(np.square(self.by_luck[kind]))))


@dataclass(frozen=True, kw_only=True)
class Steered:
    """What edits of the past do to a state that is read from predictions."""

    reader: Reader
    pushed: dict[str, dict[float, Effect]]
    """By way and strength: how far the state moves, in its own standard deviations."""
    removed: Effect
    """The share of what differs between films that is gone when the mean shift is taken out."""
    swapped: Effect
    """The share of the way to another film that is gone when the mean shift is that film's."""

    def gain(self, way: str = SHIFT) -> Effect:
        """Half of what the longest pushes to and fro differ by."""
        against, along = self.pushed[way][STRENGTHS[0]], self.pushed[way][STRENGTHS[-1]]
        return Effect(
            along=(along.along - against.along) / 2,
            by_luck={
                kind: tuple(
                    (high - low) / 2 for low, high in zip(found, along.by_luck[kind], strict=True)
                )
                for kind, found in against.by_luck.items()
            },
        )

    @property
    def moves(self) -> bool:
        """Whether it goes where it is pushed, further than along directions that know nothing."""
        gain = self.gain()
        return all(gain.along > gain.band(kind) for kind in gain.by_luck)


def steer(foresight: Foresight, readers: Sequence[Reader]) -> list[Steered]:
    """Each state pushed, taken out and swapped, beside random directions of the same length."""
    aimless = {
        ANY: random_directions(RANDOM, foresight.past.shape[2], seed=0),
        MIXED: foresight.mixtures(RANDOM, seed=0),
    }
    edits = _edits(foresight)
    before = foresight.after(foresight.moments)
    luck = {
        kind: {name: _futures(foresight, edit, ways) for name, edit in edits.items()}
        for kind, ways in aimless.items()
    }
    tried = {SHIFT: STRENGTHS, WEIGHTS: (STRENGTHS[0], STRENGTHS[-1])}
    found = []
    for one in readers:
        measure = _Measure(foresight, one, before, luck, edits)
        found.append(
            Steered(
                reader=one,
                pushed={
                    way: {strength: measure.pushed(way, strength) for strength in strengths}
                    for way, strengths in tried.items()
                },
                removed=measure.on_the_way("remove", measure.read.mean(axis=0, keepdims=True)),
                swapped=measure.on_the_way("swap", np.roll(measure.read, 1, axis=0)),
            )
        )
    return found


_Edit = Callable[[Float[Tensor, "r t e"], Float[Tensor, " e"]], Float[Tensor, "r t e"]]


def _edits(foresight: Foresight) -> dict[str | float, _Edit]:
    """Pushes by their strength, and the others by name."""
    films, spread = len(foresight.moments), foresight.spread
    mean = foresight.past[: foresight.fitted].mean(dim=(0, 1))
    donors = torch.arange(films).roll(1)
    pushes = {strength: partial(steered, length=strength * spread) for strength in STRENGTHS}
    return {
        **pushes,
        "remove": partial(ablated, mean=mean),
        "swap": partial(swapped, donors=donors),
    }


def _futures(foresight: Foresight, edit: _Edit, ways: Float[Tensor, "c e"]) -> Futures:
    return [foresight.after(edit(foresight.moments, way)) for way in ways]


class _Measure:
    """What edits do to one state."""

    def __init__(
        self,
        foresight: Foresight,
        reader: Reader,
        before: Float[ndarray, "r s e"],
        luck: Mapping[str, Mapping[str | float, Futures]],
        edits: Mapping[str | float, _Edit],
    ) -> None:
        self.read = reader.read(before)
        self._foresight = foresight
        self._reader = reader
        self._luck = luck
        self._edits = edits

    def pushed(self, way: str, strength: float) -> Effect:
        def moved(changes: Float[ndarray, "r s c"]) -> float:
            return float(changes.mean(axis=(0, 1)).sum() / self._reader.spread.sum())

        return self._effect(way, strength, moved)

    def on_the_way(self, edit: str, goal: Float[ndarray, "_ s c"]) -> Effect:
        to_go = goal - self.read

        def share(changes: Float[ndarray, "r s c"]) -> float:
            return float((changes * to_go).sum() / (to_go**2).sum())

        return self._effect(SHIFT, edit, share)

    def _effect(self, way: str, edit: str | float, measure: Callable[..., float]) -> Effect:
        along = _futures(self._foresight, self._edits[edit], self._reader.ways[way])
        return Effect(
            along=measure(self._changes(along)),
            by_luck={
                kind: tuple(
                    measure(self._changes(turn)) for turn in _turns(futures[edit], len(along))
                )
                for kind, futures in self._luck.items()
            },
        )

    def _changes(self, futures: Futures) -> Float[ndarray, "r s c"]:
        """Of each number what its own edit changes."""
        changes = [
            (self._reader.read(after) - self.read)[..., number]
            for number, after in enumerate(futures)
        ]
        return np.stack(changes, axis=-1)


def _turns(futures: Futures, numbers: int) -> list[Futures]:
    """Each number by a direction of its own, as often as there are directions."""
    count = len(futures)
    return [
        [futures[(turn + number) % count] for number in range(numbers)] for turn in range(count)
    ]
