"""Goals in two rooms: half of them lie behind the wall, where the straight way ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from worldmodel_train.envs.disc_goals import DiscGoals
from worldmodel_train.envs.disc_rooms import (
    LOOK,
    Layout,
    Look,
    draw,
    draw_free,
    move,
    straight,
    toward,
)
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.two_rooms import TwoRooms


@dataclass(frozen=True, kw_only=True)
class TwoRoomGoals(DiscGoals):
    """A `GoalWorld` of discs, whose states are their places."""

    layout: Layout = field(default_factory=Layout)
    look: Look = LOOK

    @classmethod
    def made_with(cls, *, size: int, options: Mapping[str, Any]) -> "TwoRoomGoals":
        """The world that `TwoRooms` makes of these options; raises ValueError where it does not."""
        try:
            world = TwoRooms(size=size, **options)
        except TypeError as error:
            raise ValueError(f"envs/two_rooms with options {dict(options)}: {error}") from None
        return cls(size=size, layout=world.layout, look=world.look)

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b 2"], Float[ndarray, "b 2"]]:
        """Free places anywhere."""
        places = draw_free(generator, self.layout, 2 * count)
        return places[:count], places[count:]

    def move(
        self, states: Float[ndarray, "b 2"], actions: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """Where discs are after one action."""
        return move(states, actions, self.layout)

    def pictures(self, states: Float[ndarray, "*b 2"]) -> UInt8[ndarray, "*b h w 3"]:
        """Rooms and disc."""
        return draw(states, self.layout, self.size, self.look)

    def straight(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """As far towards the goal as an action moves."""
        return straight(states, goals, self.layout)

    def expert(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """Straight within a room, and through the door."""
        return toward(states, goals, self.layout)

    def kinds(
        self, starts: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Goals in the other room."""
        return {"through the door": (starts[:, 0] < self.layout.x) != (goals[:, 0] < self.layout.x)}

    def variations(self) -> Mapping[str, GoalWorld]:
        """Other colours, sizes, places of the door and speeds."""
        layout, look = self.layout, self.look
        return {
            "grey background": replace(self, look=replace(look, background=(200, 200, 200))),
            "blue wall": replace(self, look=replace(look, wall=(40, 40, 160))),
            "orange disc": replace(self, look=replace(look, disc=(220, 120, 30))),
            "disc half as large again": replace(
                self, layout=replace(layout, radius=1.5 * layout.radius)
            ),
            "thicker wall": replace(self, layout=replace(layout, wall=1.5 * layout.wall)),
            "wider door": replace(self, layout=replace(layout, door_width=1.5 * layout.door_width)),
            "door further up": replace(self, layout=replace(layout, door=layout.door - 0.2)),
            "slower by a third": replace(self, layout=replace(layout, step=layout.step / 1.5)),
        }
