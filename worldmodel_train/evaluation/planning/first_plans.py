"""The plan that a model begins with: what it promises, and what comes of it in the world."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from worldmodel_train.data.trajectories.scaling import real
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.planning.pilots import (
    ModelPilot,
    as_array,
    bounds_of,
    latents_of,
    seen_of,
)
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import Apart, Distance, nearness
from worldmodel_train.protocols import Planner

GRID = 21
"""Values of each number of an action that a slice has."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How plans are searched for, and how far their latents are from a goal's."""

    build: Callable[[Bounds], Planner]
    distance: Distance | Apart
    distance_called: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class FirstPlans:
    """A plan for each of some goals, found in one search from the starts; all on the CPU."""

    actions: Float[ndarray, "b h a"]
    """As the world takes them: from -1 to 1."""
    slices: Float[Tensor, "b s"]
    """Energies by the model of the plans whose first action begins otherwise: each pair of `GRID`
    values, the second number changing fastest, or each value of an action's only number; each of
    its choices where there are some."""
    imagined: Float[Tensor, "b h d"]
    """Latents after each action, as the model foretells them."""
    realised: Float[Tensor, "b h d"]
    """The same of what is seen when the actions are done."""
    states: Float[ndarray, "b t p"]
    """From the start on, when the actions are done."""
    goals: Float[Tensor, "b d"]
    """Latents of the goals."""

    def promised(self, distance: Distance | Apart) -> Float[Tensor, "b h"]:
        """How far from the goal the model foretells that it is after each action."""
        return _from_goals(self.imagined, self.goals, distance)

    def kept(self, distance: Distance | Apart) -> Float[Tensor, "b h"]:
        """How far from the goal what is then seen is, by the model's latents of it."""
        return _from_goals(self.realised, self.goals, distance)


def first_plans(pilot: ModelPilot, starts: Float[ndarray, "b p"], search: Search) -> FirstPlans:
    """Plans for the pilot's first goals, as many as there are starts."""
    model, world = pilot.model, pilot.world
    with frozen(model) as device:
        bounds = bounds_of(world, pilot.scale, device)
        nothing_done = torch.empty(len(starts), 0, world.action_width(), device=device)
        seen = torch.from_numpy(world.pictures(starts[:, None])).to(device)
        belief = model.encode(seen, nothing_done)
        goals = latents_of(model, world, pilot.goals[: len(starts)])
        energy = pilot.energy(goals)
        generator = torch.Generator(device).manual_seed(search.seed)
        found = search.build(bounds).plan(model, belief, energy, generator=generator).actions
        change = first_choices_changed if world.has_choices() else first_actions_changed
        others = change(found, bounds)
        slices = energy(model.rollout(belief, others), others)
        imagined = model.rollout(belief, found[:, None])[:, 0]
    actions = as_array(found if pilot.scale is None else real(found, pilot.scale))
    states = _done(pilot, starts, actions)
    return FirstPlans(
        actions=actions,
        slices=slices.float().cpu(),
        imagined=imagined.float().cpu(),
        realised=_realised(pilot, states, found),
        states=states,
        goals=goals.float().cpu(),
    )


def first_actions_changed(
    plans: Float[Tensor, "b h a"], bounds: Bounds
) -> Float[Tensor, "b s h a"]:
    """Each plan with its first action's first two numbers, or only one, all over the bounds."""
    ends = zip(bounds.low[:2].tolist(), bounds.high[:2].tolist(), strict=True)
    values = [torch.linspace(low, high, GRID) for low, high in ends]
    grid = torch.cartesian_prod(*values).reshape(-1, len(values)).to(plans)
    changed = repeat(plans, "b h a -> b s h a", s=len(grid)).clone()
    changed[:, :, 0, : len(values)] = grid
    return changed


def first_choices_changed(
    plans: Float[Tensor, "b h a"], bounds: Bounds
) -> Float[Tensor, "b a h a"]:
    """Each plan with each of the choices for its first action."""
    actions = len(bounds.low)
    chosen = torch.eye(actions, dtype=torch.bool, device=plans.device)
    changed = repeat(plans, "b h a -> b s h a", s=actions).clone()
    changed[:, :, 0] = torch.where(chosen, bounds.high, bounds.low)
    return changed


def _done(
    pilot: ModelPilot, starts: Float[ndarray, "b p"], actions: Float[ndarray, "b h a"]
) -> Float[ndarray, "b t p"]:
    states = [starts]
    for action in actions.swapaxes(0, 1):
        states.append(pilot.world.move(states[-1], action))
    return np.stack(states, axis=1)


def _realised(
    pilot: ModelPilot, states: Float[ndarray, "b t p"], done: Float[Tensor, "b h a"]
) -> Float[Tensor, "b h d"]:
    """Latents after each action, with as much of the past as the model is shown in attempts."""
    states, taken, latents = states.swapaxes(0, 1), as_array(done).swapaxes(0, 1), []
    with frozen(pilot.model) as device:
        for count in range(1, len(states)):
            seen, between = seen_of(
                pilot.world,
                states[: count + 1],
                taken[:count],
                last=pilot.memory,
                device=device,
            )
            latents.append(pilot.model.latent(pilot.model.encode(seen, between)).float().cpu())
    return torch.stack(latents, dim=1)


def _from_goals(
    latents: Float[Tensor, "b h d"], goals: Float[Tensor, "b d"], distance: Distance | Apart
) -> Float[Tensor, "b h"]:
    each = rearrange(latents, "b h d -> b h 1 d")  # plans of one action, which end there
    return nearness(goals, distance)(each, each)
