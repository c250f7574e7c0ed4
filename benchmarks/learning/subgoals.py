"""Searches of two levels and of one, towards goals two doors away."""

from functools import partial

import torch

from benchmarks.learning.counted import Counted
from benchmarks.learning.goal_trials import Settings, bounds, by_rules, told, unseen
from worldmodel_train.agents.coarse_dynamics import CoarseDynamics
from worldmodel_train.agents.regression import regress
from worldmodel_train.envs.three_room_goals import ThreeRoomGoals
from worldmodel_train.evaluation.planning.closed_loop import attempt
from worldmodel_train.evaluation.planning.pilots import ModelPilot
from worldmodel_train.jepa.leworldmodel import LeWorldModel
from worldmodel_train.planners import icem
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.hierarchical import Hierarchical
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import Planner
from worldmodel_train.types import Trajectories

AT_ONCE = 50  # walks that are encoded together
WAY = 0.3  # weight of the mean distance along a plan beside its nearest


def levels(
    world: ThreeRoomGoals, model: LeWorldModel, walks: Trajectories, settings: Settings
) -> dict[str, object]:
    """Goals two doors away by searches of one and of two levels, and their calls of a model."""
    coarse = Counted(coarse_of(model, walks, settings))
    goals, found = unseen(world, settings), {}
    calls = {}
    for name, planner in searches(coarse).items():
        counted, before = Counted(model), coarse.calls
        pilot = ModelPilot(
            model=counted,
            search=Replanning(planner, seed=settings.training.seed),
            world=world,
            goals=goals.goals,
            energy=partial(nearness, distance="l2", counted="nearest", way=WAY),
            memory=1,
        )
        found[name] = attempt(
            world, goals, pilot, budget=settings.long_budget, replan_every=settings.replan_every
        )
        of_coarse = coarse.calls - before
        searched = -(-(len(found[name].states) - 1) // settings.replan_every)
        calls[name] = (counted.calls + of_coarse) / searched
    found |= by_rules(world, goals, settings.long_budget)
    return {
        "reached": {name: told(each) for name, each in found.items()},
        "calls of a model, a search": calls,
    }


def searches(coarse: Counted) -> dict[str, Planner]:
    """Two levels, and flat searches of as many calls: of short, middling and long plans.

    Both kinds have settings that were chosen on goals of another seed; they differ in their noise.
    """

    def search(horizon: int, iterations: int, noise_exponent: float) -> icem.ICem:
        config = icem.Config(
            horizon=horizon,
            candidates=64,
            elites=5,
            iterations=iterations,
            noise_exponent=noise_exponent,
            first_spread=1.5,
        )
        return config.build(bounds())

    two = Hierarchical(
        coarse=coarse,
        coarse_planner=search(8, 4, 1.0),
        fine_planner=search(5, 3, 1.0),
        distance="l2",
        way=WAY,
        pull=0.2,
    )
    flat = {f"flat, {h} actions": search(h, i, 2.0) for h, i in ((12, 4), (16, 3), (24, 2))}
    return {"two levels": two, **flat}


def coarse_of(model: LeWorldModel, walks: Trajectories, settings: Settings) -> CoarseDynamics:
    """What a held action leads to, learned from the latents of the same walks."""
    torch.manual_seed(settings.training.seed)
    held = settings.training.held
    with torch.no_grad():
        latents = torch.cat([model.encoder(part) for part in walks.observations.split(AT_ONCE)])
    first, last = latents[:, :-1:held], latents[:, held::held]
    coarse = CoarseDynamics(latents=latents.shape[-1], actions=2)
    regress(
        coarse,
        (first.flatten(0, 1), walks.actions[:, ::held].flatten(0, 1)),
        last.flatten(0, 1),
        settings.regression,
        torch.Generator().manual_seed(settings.training.seed),
    )
    return coarse
