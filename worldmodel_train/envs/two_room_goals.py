"""Goals in two rooms: half of them lie behind the wall, where the straight way ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from worldmodel_train.envs.goals import GoalWorld, Rule
from worldmodel_train.envs.two_rooms import (
    LOOK,
    Layout,
    Look,
    TwoRooms,
    draw,
    draw_free,
    move,
    straight,
    toward,
)


@dataclass(frozen=True, kw_only=True)
class TwoRoomGoals:
    """A `GoalWorld` of discs, whose states are their places."""

    size: int
    """Pixels of a picture's side."""
    layout: Layout = field(default_factory=Layout)
    look: Look = LOOK
    reach: float = 0.05
    """Distance within which a goal is reached: by default a disc's radius."""

    @classmethod
    def made_with(cls, *, size: int, options: Mapping[str, Any]) -> "TwoRoomGoals":
        """The world that `TwoRooms` makes of these options; raises ValueError where it does not."""
        try:
            world = TwoRooms(size=size, **options)
        except TypeError as error:
            raise ValueError(f"envs/two_rooms with options {dict(options)}: {error}") from None
        return cls(size=size, layout=world.layout, look=world.look)

    def action_width(self) -> int:
        """Along x and along y."""
        return 2

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

    def reached(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Bool[ndarray, "b"]:
        """Whether discs are within reach."""
        return np.hypot(*(states - goals).T) < self.reach

    def places(self, states: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 2"]:
        """The states themselves."""
        return states

    def rules(self) -> Mapping[str, Rule]:
        """The straight way, walls or not, and the way around."""
        return {"straight line": self.straight, "expert": self.expert}

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
