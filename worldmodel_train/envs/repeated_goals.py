"""A world of goals in which several actions, one after another, count as one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from worldmodel_train.envs.goals import GoalWorld, Rule, Varied


@dataclass(frozen=True, kw_only=True)
class RepeatedGoals:
    """A `GoalWorld` that looks only after every `times` actions of `world`, as windows do.

    Their numbers lie behind each other in one action; whether a goal is reached is asked then, too.
    """

    world: GoalWorld
    times: int

    def __post_init__(self) -> None:
        """Raises ValueError where an action is one of several, of which one alone is planned."""
        if self.world.has_choices():
            raise ValueError(
                f"{self.times} actions of a world of choices do not count as one; use frameskip 1"
            )

    def action_width(self) -> int:
        """Numbers of all of them."""
        return self.times * self.world.action_width()

    def has_choices(self) -> bool:
        """No: of several choices one after another no single one is made."""
        return False

    def draw_pairs(
        self, generator: np.random.Generator, count: int
    ) -> tuple[Float[ndarray, "b d"], Float[ndarray, "b d"]]:
        """As in the world."""
        return self.world.draw_pairs(generator, count)

    def move(
        self, states: Float[ndarray, "b d"], actions: Float[ndarray, "b a"]
    ) -> Float[ndarray, "b d"]:
        """The states after all of them."""
        for action in rearrange(actions, "b (k a) -> k b a", k=self.times):
            states = self.world.move(states, action)
        return states

    def pictures(self, states: Float[ndarray, "*b d"]) -> UInt8[ndarray, "*b h w 3"]:
        """As in the world."""
        return self.world.pictures(states)

    def reached(
        self, states: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Bool[ndarray, "b"]:
        """As in the world."""
        return self.world.reached(states, goals)

    def places(self, states: Float[ndarray, "*b d"]) -> Float[ndarray, "*b p"]:
        """As in the world."""
        return self.world.places(states)

    def rules(self) -> Mapping[str, Rule]:
        """The world's, each asked again after every action."""
        return {name: partial(self._act, rule) for name, rule in self.world.rules().items()}

    def kinds(
        self, starts: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Mapping[str, Bool[ndarray, "b"]]:
        """As in the world."""
        return self.world.kinds(starts, goals)

    def variations(self) -> Mapping[str, GoalWorld]:
        """The world's, if it has any."""
        if not isinstance(self.world, Varied):
            return {}
        return {what: replace(self, world=other) for what, other in self.world.variations().items()}

    def _act(
        self, rule: Rule, states: Float[ndarray, "b d"], goals: Float[ndarray, "b d"]
    ) -> Float[ndarray, "b a"]:
        done = []
        for _ in range(self.times):
            done.append(rule(states, goals))
            states = self.world.move(states, done[-1])
        return np.concatenate(done, axis=1)
