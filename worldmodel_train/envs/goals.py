"""Worlds in which a goal can be asked for: what planning is measured in."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray


@runtime_checkable
class GoalWorld(Protocol):
    """Many worlds of one kind at once; states are rows of numbers, actions go from -1 to 1."""

    def action_width(self) -> int:
        """Numbers of an action."""
        ...

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b d"], Float[ndarray, "b d"]]:
        """Where worlds begin, and what is asked for; every goal is a state that can be reached."""
        ...

    def move(
        self, states: Float[ndarray, "b d"], actions: Float[ndarray, "b a"]
    ) -> Float[ndarray, "b d"]:
        """The states after one action."""
        ...

    def pictures(self, states: Float[ndarray, "*b d"]) -> UInt8[ndarray, "*b h w 3"]:
        """What is seen of them."""
        ...

    def reached(
        self, states: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Bool[ndarray, "b"]:
        """Whether goals are reached."""
        ...

    def straight(
        self, states: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Float[ndarray, "b a"]:
        """The action of who takes the straight way to the goal."""
        ...

    def expert(
        self, states: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Float[ndarray, "b a"]:
        """The action of who knows the world."""
        ...

    def kinds(
        self, starts: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Which pairs are of a kind that deserves a number of its own, by its name."""
        ...
