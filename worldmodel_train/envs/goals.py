"""Worlds in which a goal can be asked for: what planning is measured in."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

Rule: TypeAlias = Callable[[Float[ndarray, "b d"], Float[ndarray, "b d"]], Float[ndarray, "b a"]]
"""From states and goals to actions."""


@runtime_checkable
class GoalWorld(Protocol):
    """Many worlds of one kind at once; states are rows of numbers, actions go from -1 to 1."""

    def action_width(self) -> int:
        """Numbers of an action."""
        ...

    def has_choices(self) -> bool:
        """Whether an action is one of several: that whose number is the largest."""
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

    def places(self, states: Float[ndarray, "*b d"]) -> Float[ndarray, "*b p"]:
        """What of states a search in the true world brings near to the goal's."""
        ...

    def rules(self) -> Mapping[str, Rule]:
        """Who acts without a model, being told the state, by the name of the rule."""
        ...

    def kinds(
        self, starts: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """Which pairs are of a kind that deserves a number of its own, by its name."""
        ...


@runtime_checkable
class Varied(Protocol):
    """A world that there is in other looks and with other laws."""

    def variations(self) -> Mapping[str, GoalWorld]:
        """The same world with one thing changed, by what is changed."""
        ...
