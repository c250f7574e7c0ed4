"""Scenes in which one thing makes another go elsewhere, and what would be without it.

A hits B, straight or by way of others, after what is seen and before the film ends. What would be
is simulated from the same beginning without A.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from worldmodel_train.envs.ball_physics import Laws, State, roll
from worldmodel_train.envs.balls import Scene, draw_scene, pick, stack, without

_AT_ONCE = 256  # scenes that move together
_SIZE = 32  # of their pictures
_LEAST = 0.1  # sides of the picture that B is off without A


@dataclass(frozen=True, kw_only=True)
class Collisions:
    """Scenes, who is A and B in each, and the places of both worlds, in sides of the picture."""

    beginnings: State
    a: Int[Tensor, "n"]
    b: Int[Tensor, "n"]
    with_a: Float[Tensor, "n t k 2"]
    without_a: Float[Tensor, "n t k 2"]

    def of_b(self, places: Float[Tensor, "n t k _"]) -> Float[Tensor, "n t _"]:
        """What is B's."""
        return of_thing(places, self.b)


def draw_collisions(
    scene: Scene, laws: Laws, *, count: int, seen: int, frames: int, seed: int
) -> Collisions:
    """The first `count` scenes where B is elsewhere without A, by a tenth of a side or more.

    While `seen` frames pass nothing is other for B; the mean is over those that follow.
    """
    generator = np.random.default_rng(seed)
    found: list[tuple[State, int, int]] = []
    while len(found) < count:
        states = stack([draw_scene(generator, scene, _SIZE) for _ in range(_AT_ONCE)])
        found += _hits(states, laws, seen, frames)
    states, a, b = zip(*found[:count], strict=True)
    beginnings = stack(states)
    gone = np.arange(scene.things) == np.array(a)[:, None]
    return Collisions(
        beginnings=beginnings,
        a=torch.tensor(a),
        b=torch.tensor(b),
        with_a=places_of(beginnings, laws, frames),
        without_a=places_of(without(beginnings, gone), laws, frames),
    )


def _hits(states: State, laws: Laws, seen: int, frames: int) -> Iterator[tuple[State, int, int]]:
    """Of each scene the pair in which B is off the most, if that is enough."""
    things = states.place.shape[-2]
    pairs = list(permutations(range(things), 2))
    there = places_of(states, laws, frames).numpy()
    gone = {
        a: places_of(without(states, np.arange(things) == a), laws, frames).numpy()
        for a in range(things)
    }
    off = np.stack([_distance(there[:, :, b], gone[a][:, :, b]) for a, b in pairs], axis=-1)
    late = np.where(off[:, :seen].max(axis=1) > 0, 0.0, off[:, seen:].mean(axis=1))
    for number in np.flatnonzero(late.max(axis=1) > _LEAST):
        yield pick(states, int(number)), *pairs[int(late[number].argmax())]


def places_of(states: State, laws: Laws, frames: int) -> Float[Tensor, "n t k 2"]:
    """Where all things of all scenes are in each frame."""
    places = [state.place for state, _ in roll(states, laws, frames)]
    return torch.from_numpy(np.stack(places, axis=1)).float()


def of_thing(values: Float[Tensor, "n t k d"], number: Int[Tensor, "n"]) -> Float[Tensor, "n t d"]:
    """What is of this thing in each scene."""
    return values[torch.arange(len(values)), :, number]


def straight_on(
    places: Float[Tensor, "n t 2"], seen: int, radius: Float[Tensor, "n"] | None = None
) -> Float[Tensor, "n _ 2"]:
    """Places after the seen ones at the last speed; mirrored at the border for who has a radius."""
    speed = places[:, seen - 1] - places[:, seen - 2]
    steps = torch.arange(1, places.shape[1] - seen + 1).view(1, -1, 1)
    ahead = places[:, seen - 1 : seen] + steps * speed[:, None]
    if radius is None:
        return ahead
    low = radius.view(-1, 1, 1)
    inside = 1 - 2 * low
    turned = (ahead - low).remainder(2 * inside)
    return low + torch.minimum(turned, 2 * inside - turned)


def _distance(one: Float[ndarray, "*b 2"], other: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b"]:
    return np.linalg.norm(one - other, axis=-1)
