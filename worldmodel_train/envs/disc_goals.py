"""What all worlds of discs answer alike that are asked for goals."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from worldmodel_train.envs.goals import Rule


@dataclass(frozen=True, kw_only=True)
class DiscGoals(ABC):
    """Part of a `GoalWorld` of discs, whose states are their places."""

    size: int
    """Pixels of a picture's side."""
    reach: float = 0.05
    """Distance within which a goal is reached: by default a disc's radius."""

    def action_width(self) -> int:
        """Along x and along y."""
        return 2

    def has_choices(self) -> bool:
        """No: numbers."""
        return False

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

    @abstractmethod
    def straight(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """As far towards the goal as an action moves."""

    @abstractmethod
    def expert(
        self, states: Float[ndarray, "b 2"], goals: Float[ndarray, "b 2"]
    ) -> Float[ndarray, "b 2"]:
        """The way around."""
