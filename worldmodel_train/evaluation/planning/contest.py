"""Has everybody who can act try the same goals, under the same conditions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from worldmodel_train.data.trajectories.config import ActionScale
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.frozen import device_of
from worldmodel_train.evaluation.planning.closed_loop import Attempts, Goals, Pilot, attempt
from worldmodel_train.evaluation.planning.pilots import (
    ModelPilot,
    RandomPilot,
    RulePilot,
    TruePilot,
    bounds_of,
)
from worldmodel_train.evaluation.showing import Showing, shown_to_nobody
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import Apart, Distance
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import Energy, LatentDynamics, Planner


class BuildsPlanner(Protocol):
    """The settings of a search."""

    def build(self, bounds: Bounds) -> Planner:
        """The search for actions within bounds."""
        ...


@dataclass(frozen=True, kw_only=True)
class Mind:
    """A model of pictures, and how far from a goal's it takes its latents to be."""

    model: LatentDynamics[Any]
    distance: Distance | Apart


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The conditions, and who tries under them by what name."""

    planner: BuildsPlanner
    near: Callable[..., Energy]
    """`nearness` to goals, given the distance of latents or, in the true world, of places."""
    memory: int
    """Pictures of the past that a model is shown."""
    scale: ActionScale | None
    """Of the actions that models have learned from."""
    budget: int
    replan_every: int
    seed: int
    showing: Showing = shown_to_nobody

    def goals(self, world: GoalWorld, count: int) -> Goals:
        """Pairs of a start and a goal."""
        starts, goals = world.draw_pairs(np.random.default_rng(self.seed), count)
        return Goals(starts=starts, goals=goals)

    def attempts(
        self, world: GoalWorld, goals: Goals, pilots: Mapping[str, Pilot], *, where: str
    ) -> Mapping[str, Attempts]:
        """What became of the goals, by who tried; `where` is shown beside them."""
        found = dict[str, Attempts]()
        for who, pilot in pilots.items():
            with self.showing(f"{where}, {who}", self.budget) as tell:
                found[who] = attempt(
                    world,
                    goals,
                    pilot,
                    budget=self.budget,
                    replan_every=self.replan_every,
                    tell=tell,
                )
        return found

    def first_searches(self, mind: Mind, world: GoalWorld, goals: Goals) -> None:
        """Plans for all, and for one: a compiled model makes its graphs here, and no attempt pays.

        One alone has graphs of its own.
        """
        for which in (np.arange(len(goals)), np.arange(1)):
            nothing_done = np.empty((0, len(goals), world.action_width()))
            pilot = self.model(mind, world, goals)
            pilot.choose(goals.starts[None], nothing_done, which=which, count=1)

    def model(self, mind: Mind, world: GoalWorld, goals: Goals) -> ModelPilot:
        """Plans with a model of pictures."""
        return ModelPilot(
            model=mind.model,
            search=self._search(world, device_of(mind.model), self.scale),
            world=world,
            goals=goals.goals,
            energy=partial(self.near, distance=mind.distance),
            memory=self.memory,
            scale=self.scale,
        )

    def true_world(self, world: GoalWorld, goals: Goals) -> Pilot:
        """Plans in the world itself."""
        search = self._search(world, torch.device("cpu"), None)
        energy = partial(self.near, distance="l2")
        return TruePilot(search=search, world=world, goals=goals.goals, energy=energy)

    def rules(self, world: GoalWorld, goals: Goals) -> Mapping[str, Pilot]:
        """Act by the world's own rules."""
        return {
            name: RulePilot(rule=rule, goals=goals.goals) for name, rule in world.rules().items()
        }

    def random(self, world: GoalWorld) -> Pilot:
        """Acts evenly."""
        generator = np.random.default_rng([self.seed, 1])
        return RandomPilot(width=world.action_width(), generator=generator)

    def _search(
        self, world: GoalWorld, device: torch.device, scale: ActionScale | None
    ) -> Replanning:
        planner = self.planner.build(bounds_of(world, scale, device))
        return Replanning(planner, seed=self.seed, device=device)
