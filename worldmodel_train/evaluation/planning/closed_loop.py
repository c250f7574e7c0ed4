"""Acts towards goals in many worlds at once, and notes who gets there, when and at what cost."""

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.showing import Tell, said_to_nobody


@dataclass(frozen=True, kw_only=True)
class Goals:
    """Where attempts begin, and what is asked for; the same for all that try."""

    starts: Float[ndarray, "b d"]
    goals: Float[ndarray, "b d"]

    def __len__(self) -> int:
        """Attempts."""
        return len(self.starts)


@runtime_checkable
class Pilot(Protocol):
    """Anything that chooses actions for all worlds together."""

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "w"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """The next `count` actions or fewer, from -1 to 1, given all that has been until now.

        Only those of `which`, who have not arrived, are done.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What became of each goal."""

    states: Float[ndarray, "t b d"]
    """From the start on; who has reached the goal stays there."""
    arrival: Int[ndarray, "b"]
    """Actions until the goal was reached; -1 where it was not."""
    seconds_per_action: float
    """To choose one that is done, of many that are chosen together."""

    @property
    def reached(self) -> Bool[ndarray, "b"]:
        """Whether the goal was reached."""
        return self.arrival >= 0


def attempt(
    world: GoalWorld,
    goals: Goals,
    pilot: Pilot,
    *,
    budget: int,
    replan_every: int,
    tell: Tell = said_to_nobody,
) -> Attempts:
    """Up to `budget` actions towards each goal, chosen `replan_every` at a time."""
    states, taken = [goals.starts], np.empty((0, len(goals), world.action_width()))
    arrival = np.where(world.reached(goals.starts, goals.goals), 0, -1)
    seconds, num_chosen = 0.0, 0
    while len(taken) < budget and (arrival < 0).any():
        count, which = min(replan_every, budget - len(taken)), np.flatnonzero(arrival < 0)
        began = time.perf_counter()
        chosen = pilot.choose(np.stack(states), taken, which=which, count=count)[:, :count]
        seconds += time.perf_counter() - began
        num_chosen += len(which) * chosen.shape[1]
        for action in chosen.swapaxes(0, 1):
            there = arrival >= 0
            moved = world.move(states[-1], action)
            states.append(np.where(there[:, None], states[-1], moved))
            taken = np.concatenate((taken, action[None]))
            arrives = ~there & world.reached(states[-1], goals.goals)
            arrival = np.where(arrives, len(taken), arrival)
        tell(len(taken), f"actions, {int((arrival >= 0).sum())} of {len(goals)} goals reached")
    return Attempts(
        states=np.stack(states),
        arrival=arrival,
        seconds_per_action=seconds / max(num_chosen, 1),
    )
