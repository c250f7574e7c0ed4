"""What the parts of `benchmarks.learning.cognitive` have in common: settings, goals and shares."""

from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.learning.walked_model import Training
from worldmodel_train.agents.practice import PracticeConfig
from worldmodel_train.agents.regression import Regression
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.planning.closed_loop import Attempts, Goals, Pilot, attempt
from worldmodel_train.evaluation.planning.pilots import RulePilot
from worldmodel_train.evaluation.planning.planning_result import share_between
from worldmodel_train.planners import icem
from worldmodel_train.planners.bounds import Bounds


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a result depends on."""

    training: Training = field(default_factory=Training)
    picture: int = 64
    goals: int = 50
    """Pairs of a start and a goal, never learned from."""
    search: icem.Config = field(
        default_factory=lambda: icem.Config(
            horizon=12, candidates=256, elites=5, iterations=3, first_spread=1.5
        )
    )
    """Mode-2's."""
    lessons: int = 800
    """Searches that Mode-1 learns from."""
    ahead: int = 8
    """Actions of a search that are lessons, each from where it would be done."""
    rounds: int = 1
    """Times that Mode-1 then acts in the world, and Mode-2 says what it would do there."""
    round_goals: int = 60
    """Episodes of a round."""
    round_budget: int = 16
    """Actions of each."""
    practice: PracticeConfig = field(default_factory=PracticeConfig)
    """In imagination, after the advice."""
    practice_batch: int = 64
    critic_goals: int = 40
    """Episodes of Mode-2 that the critic learns from."""
    regression: Regression = field(default_factory=lambda: Regression(steps=1000))
    budget: int = 40
    """Actions after which a goal counts as not reached, in two rooms."""
    long_budget: int = 60
    """The same where it is two doors away."""
    replan_every: int = 4


def unseen(world: GoalWorld, settings: Settings) -> Goals:
    """The goals that are measured."""
    return drawn(world, settings.goals, [settings.training.seed, 3])


def told(attempts: Attempts) -> dict[str, float | None]:
    """Share with its 95 % interval, actions where the goal was reached, milliseconds an action.

    Actions are None where it never was: JSON has no word for what is no number.
    """
    low, high = share_between(attempts.reached)
    there = attempts.arrival[attempts.reached]
    return {
        "share": float(attempts.reached.mean()),
        "low": low,
        "high": high,
        "actions": float(there.mean()) if len(there) else None,
        "ms": 1e3 * attempts.seconds_per_action,
    }


def drawn(world: GoalWorld, count: int, seed: list[int]) -> Goals:
    """Pairs that the seed decides."""
    starts, goals = world.draw_pairs(np.random.default_rng(seed), count)
    return Goals(starts=starts, goals=goals)


def by_rules(world: GoalWorld, goals: Goals, budget: int) -> dict[str, Attempts]:
    """Who is told the state."""
    pilots: dict[str, Pilot] = {
        name: RulePilot(rule=rule, goals=goals.goals) for name, rule in world.rules().items()
    }
    return {
        name: attempt(world, goals, pilot, budget=budget, replan_every=1)
        for name, pilot in pilots.items()
    }


def bounds() -> Bounds:
    """Of a disc's actions."""
    return Bounds(low=-torch.ones(2), high=torch.ones(2))
