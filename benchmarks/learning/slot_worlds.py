"""Slots of scenes whose every state is known: seen by a frozen encoder, or made of the states."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Protocol

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.learning.collisions import places_of
from worldmodel_train.envs.ball_physics import Laws, State
from worldmodel_train.envs.balls import Scene, draw_scene, film, stack
from worldmodel_train.models.frozen_slots import FrozenSlots

SIZE = 32
"""Height and width of films, in pixels."""
_AT_ONCE = 64  # films that are seen together
_RIDGE = 1e-3  # of the spread of a slot's numbers, which is about 1


class SlotWorld(Protocol):
    """Where slots are from."""

    def slots(
        self, beginnings: State, laws: Laws, frames: int, seen: int
    ) -> Float[Tensor, "n t s d"]:
        """Those of what follows; slot k is of thing k, and what more there are come after."""
        ...


@dataclass(frozen=True)
class StateWorld:
    """Place, radius and colour of each thing by a fixed random matrix; nothing says how fast."""

    width: int = 48
    matrix: Float[Tensor, "6 d"] = field(init=False)

    def __post_init__(self) -> None:
        drawn = torch.randn(6, self.width, generator=torch.Generator().manual_seed(0))
        object.__setattr__(self, "matrix", drawn / 6**0.5)

    def slots(
        self, beginnings: State, laws: Laws, frames: int, seen: int
    ) -> Float[Tensor, "n t s d"]:
        """One for each thing, of numbers of mean 0 and spread about 1."""
        del seen
        place = (places_of(beginnings, laws, frames) - 0.5) * 4
        looks = np.concatenate(
            (beginnings.radius[..., None] * 40 - 5, beginnings.colour / 100 - 1), axis=-1
        )
        same = torch.from_numpy(looks).float()[:, None].expand(-1, frames, -1, -1)
        return torch.cat((place, same), dim=-1) @ self.matrix


@dataclass(frozen=True)
class SeenWorld:
    """What an encoder sees in films."""

    see: FrozenSlots

    @torch.no_grad()
    def slots(
        self, beginnings: State, laws: Laws, frames: int, seen: int
    ) -> Float[Tensor, "n t s d"]:
        """As a model is given them; who is whose is told by the last frame that is seen."""
        films = film(beginnings, laws, frames)
        pictures = torch.from_numpy(films.pictures).split(_AT_ONCE)
        parts = [self.see.see(part) for part in pictures]
        slots, centres = (torch.cat(part) for part in zip(*parts, strict=True))
        places = torch.from_numpy(films.place[:, seen - 1]).float() * 2 - 1
        order = matched(centres[:, seen - 1], places)
        index = rearrange(order, "n s -> n 1 s 1").expand_as(slots)
        return slots.gather(2, index)


def matched(centres: Float[Tensor, "n s 2"], places: Float[Tensor, "n k 2"]) -> Int[Tensor, "n s"]:
    """The slots in an order in which the first are nearest to the things, all things together."""
    slots, things = centres.shape[1], places.shape[1]
    away = torch.cdist(centres, places)
    orders = torch.tensor(list(permutations(range(slots), things)))
    costs = away[:, orders, torch.arange(things)].sum(dim=-1)
    chosen = orders[costs.argmin(dim=1)]
    others = torch.ones(len(centres), slots, dtype=torch.bool).scatter(1, chosen, value=False)
    rest = others.nonzero()[:, 1].view(len(centres), slots - things)
    return torch.cat((chosen, rest), dim=1)


@dataclass(frozen=True)
class PlaceReader:
    """A linear map from a slot to the place of its thing."""

    weight: Float[Tensor, "e 2"]

    @classmethod
    def fitted(
        cls, slots: Float[Tensor, "n t s d"], places: Float[Tensor, "n t k 2"]
    ) -> "PlaceReader":
        """By ridge regression over all frames and things.

        Numbers of a normalised slot add up to 0, so without a ridge weights have no bounds, and
        slots that are predicted, which are not quite normalised, would be read as anything.
        """
        of_things = _with_one(slots[:, :, : places.shape[2]].flatten(0, 2)).double()
        ridge = _RIDGE * len(of_things) * torch.eye(of_things.shape[1]).double()
        wanted = of_things.T @ places.flatten(0, 2).double()
        return cls(torch.linalg.solve(of_things.T @ of_things + ridge, wanted).float())

    def __call__(self, slots: Float[Tensor, "*b d"]) -> Float[Tensor, "*b 2"]:
        """Where their things are, in sides of the picture."""
        return _with_one(slots) @ self.weight


def random_scenes(scene: Scene, count: int, seed: int | Sequence[int]) -> State:
    """So many beginnings."""
    generator = np.random.default_rng(seed)
    return stack([draw_scene(generator, scene, SIZE) for _ in range(count)])


def _with_one(slots: Float[Tensor, "*b d"]) -> Float[Tensor, "*b e"]:
    return torch.cat((slots, torch.ones_like(slots[..., :1])), dim=-1)
