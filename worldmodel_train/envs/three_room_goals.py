"""Three rooms in a row, and goals two doors away: what needs a plan of several stages.

Two walls of `disc_rooms`, one behind the other. Their doors are at opposite ends, so that the way
from the first room to the last is a zigzag, and no straight push.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from worldmodel_train.envs.disc_goals import DiscGoals
from worldmodel_train.envs.disc_rooms import (
    Layout,
    draw_between,
    draw_free,
    free,
    stopped,
    straight,
    toward,
)

WALLS = (Layout(x=1 / 3, door=0.25), Layout(x=2 / 3, door=0.75))


@dataclass(frozen=True, kw_only=True)
class ThreeRoomGoals(DiscGoals):
    """A `GoalWorld` of discs, whose states are their places."""

    walls: Sequence[Layout] = WALLS
    """From left to right; disc and steps are as the first says."""

    def __post_init__(self) -> None:
        """Raises ValueError where a disc does not fit between two walls."""
        for near, far in pairwise(self.walls):
            if near.barrier[1] >= far.barrier[0]:
                raise ValueError(
                    f"walls at x={near.x:g} and {far.x:g} leave no room for a disc between them; "
                    f"use more than {near.barrier[1] - near.x + far.x - far.barrier[0]:g} from one "
                    "to the next"
                )

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b 2"], Float[ndarray, "b 2"]]:
        """From the first room to the last or back, so that all doors are on the way."""
        lefts, rights = self._places_in(generator, 0, count), self._places_in(generator, -1, count)
        swapped = generator.random((count, 1)) < 0.5
        return np.where(swapped, rights, lefts), np.where(swapped, lefts, rights)

    def draw_anywhere(self, generator: np.random.Generator, count: int) -> Float[ndarray, "b 2"]:
        """Free places, doors included."""
        places = np.empty((0, 2))
        while len(places) < count:
            drawn = draw_free(generator, self.walls[0], count)
            fits = np.all([free(drawn, wall) for wall in self.walls], axis=0)
            places = np.concatenate((places, drawn[fits]))
        return places[:count]

    def move(
        self, states: Float[ndarray, "b 2"], actions: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """Where discs are after one action."""
        disc = self.walls[0]
        wanted = states + disc.step * np.clip(actions, -1, 1)
        wanted = np.clip(wanted, disc.radius, 1 - disc.radius)
        for wall in self.walls:
            wanted = stopped(states, wanted, wall)
        return wanted

    def pictures(self, states: Float[ndarray, "*b 2"]) -> UInt8[ndarray, "*b h w 3"]:
        """Rooms and disc."""
        return draw_between(states, self.walls, self.size)

    def straight(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """As far towards the goal as an action moves."""
        return straight(states, goals, self.walls[0])

    def expert(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """Through the next door on the way, and straight within a room."""
        ways = np.stack([toward(states, goals, wall) for wall in self.walls])
        between = np.stack([(states[:, 0] < w.x) != (goals[:, 0] < w.x) for w in self.walls])
        last = len(self.walls) - 1 - between[::-1].argmax(axis=0)
        goes_right = states[:, 0] < goals[:, 0]
        next_wall = np.where(goes_right, between.argmax(axis=0), last)
        return ways[next_wall, np.arange(len(states))]

    def kinds(
        self, starts: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Which way they go."""
        return {"to the right": starts[:, 0] < goals[:, 0]}

    def _places_in(
        self, generator: np.random.Generator, room: int, count: int
    ) -> Float[ndarray, "b 2"]:
        """Free places in the first room (0) or the last (-1)."""
        disc = self.walls[0]
        low, high = np.full(2, disc.radius), np.full(2, 1 - disc.radius)
        if room == 0:
            high[0] = self.walls[0].barrier[0]
        else:
            low[0] = self.walls[-1].barrier[1]
        return generator.uniform(low, high, (count, 2))
