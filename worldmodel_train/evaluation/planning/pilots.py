"""Who tries to reach goals: a planner with a model, the same with the true world, and without."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.data.trajectories.config import ActionScale
from worldmodel_train.data.trajectories.scaling import normalised, real
from worldmodel_train.envs.goals import GoalWorld, Rule
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.models.beliefs import roll_out
from worldmodel_train.models.latent_beliefs import SeenLatent
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import GoalEnergy
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import LatentDynamics

_AT_ONCE = 64  # pictures


def seen_of(
    world: GoalWorld,
    states: Float[ndarray, "t b d"],
    actions: Float[ndarray, "t-1 b a"],
    *,
    last: int,
    device: torch.device,
) -> tuple[UInt8[Tensor, "b n h w c"], Float[Tensor, "b n-1 a"]]:
    """The `last` pictures of an episode, or as many as there are, and the actions between them."""
    seen, done = states[-last:], actions[max(len(actions) + 1 - last, 0) :]
    return (
        torch.from_numpy(world.pictures(rearrange(seen, "t b d -> b t d"))).to(device),
        torch.from_numpy(rearrange(done, "t b a -> b t a")).float().to(device),
    )


def latents_of(
    model: LatentDynamics[Any], world: GoalWorld, states: Float[ndarray, "b p"]
) -> Float[Tensor, "b d"]:
    """The model's latents of single pictures of these states, where the model is."""
    pictures = torch.from_numpy(world.pictures(states))
    return latents_of_pictures(model, pictures, action_width=world.action_width())


def latents_of_pictures(
    model: LatentDynamics[Any], pictures: UInt8[Tensor, "b h w c"], *, action_width: int
) -> Float[Tensor, "b d"]:
    """The model's latents of pictures that are seen by themselves, where the model is."""
    latents = []
    with frozen(model) as device:
        for some in pictures.split(_AT_ONCE):
            nothing_done = torch.empty(len(some), 0, action_width, device=device)
            latents.append(model.latent(model.encode(some[:, None].to(device), nothing_done)))
    return torch.cat(latents)


def bounds_of(world: GoalWorld, scale: ActionScale | None, device: torch.device) -> Bounds:
    """Those of the world's actions, as a model takes them that has learned from scaled ones.

    Of choices episodes keep a 1 and zeros.
    """
    high = torch.ones(world.action_width(), device=device)
    low = torch.zeros_like(high) if world.has_choices() else -high
    low, high = (each if scale is None else normalised(each, scale) for each in (low, high))
    return Bounds(low=low, high=high)


def as_array(actions: Float[Tensor, "b n a"]) -> Float[ndarray, "b n a"]:
    """Actions as worlds take them."""
    return actions.double().cpu().numpy()


def of_all(
    actions: Float[ndarray, "w t a"], which: Int[ndarray, "w"], num_worlds: int
) -> Float[ndarray, "b t a"]:
    """The actions of some worlds, and nothing done in the others."""
    everybody = np.zeros((num_worlds, *actions.shape[1:]))
    everybody[which] = actions
    return everybody


@dataclass(frozen=True, kw_only=True)
class ModelPilot:
    """Plans with a model of pictures, which is shown nothing but these and the goal's picture."""

    model: LatentDynamics[Any]
    search: Replanning
    world: GoalWorld
    goals: Float[ndarray, "b d"]
    energy: GoalEnergy
    memory: int
    """Pictures that it is shown: the last ones."""
    scale: ActionScale | None = None
    """What the actions were scaled by that the model has learned from, and that it plans."""

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "w"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """The first actions of a plan; the next plan begins from what is left of it."""
        with frozen(self.model) as device:
            pictures, done = seen_of(
                self.world, states[:, which], actions[:, which], last=self.memory, device=device
            )
            belief = self.model.encode(pictures, self._scaled(done))
            energy = self.energy(self._goal[torch.from_numpy(which)])
            planned = self.search.actions(self.model, belief, energy, which=which, count=count)
        if self.scale is not None:
            planned = real(planned, self.scale)
        return of_all(as_array(planned), which, states.shape[1])

    def _scaled(self, actions: Float[Tensor, "b t a"]) -> Float[Tensor, "b t a"]:
        return actions if self.scale is None else normalised(actions, self.scale)

    @cached_property
    def _goal(self) -> Float[Tensor, "b d"]:
        """The latents of the goals, which stay what they are."""
        return latents_of(self.model, self.world, self.goals)


@dataclass(frozen=True, kw_only=True)
class TruePilot:
    """The same search in the world itself, from its state: what planning could reach at best."""

    search: Replanning
    world: GoalWorld
    goals: Float[ndarray, "b d"]
    energy: GoalEnergy
    """Of places, not of latents."""

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "w"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """The first actions of a plan, as in `ModelPilot`."""
        del actions
        near = self.energy(self._places(self.goals[which]))

        def energy(
            latents: Float[Tensor, "b s h d"], taken: Float[Tensor, "b s h a"]
        ) -> Float[Tensor, "b s"]:
            return near(self._places(latents.numpy()), taken)

        belief, world = torch.from_numpy(states[-1, which]), TrueWorld(self.world)
        planned = self.search.actions(world, belief, energy, which=which, count=count)
        return of_all(as_array(planned), which, states.shape[1])

    def _places(self, states: Float[ndarray, "*b d"]) -> Float[Tensor, "*b p"]:
        return torch.from_numpy(self.world.places(states))


@dataclass(frozen=True, kw_only=True)
class RulePilot:
    """Acts by a rule of the world's own that is told the state."""

    rule: Rule
    goals: Float[ndarray, "b d"]

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "w"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """One action, so that it may look again after each."""
        del actions, which, count
        return self.rule(states[-1], self.goals)[:, None]


@dataclass(frozen=True, kw_only=True)
class RandomPilot:
    """Acts evenly between the bounds; so each of several choices is as likely as the others."""

    width: int
    generator: np.random.Generator

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "w"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """Actions that hang on nothing."""
        del actions, which
        return self.generator.uniform(-1, 1, (states.shape[1], count, self.width))


class TrueWorld(SeenLatent):
    """A world as a `LatentDynamics`: observation, belief and latent are the state.

    They stay in fp64: a state that lies against a wall would be rounded into it.
    """

    def __init__(self, world: GoalWorld) -> None:
        self.world = world

    def step(
        self, belief: Float[Tensor, "b d"], action: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b d"]:
        """The state after one action."""
        moved = self.world.move(belief.double().numpy(), action.double().numpy())
        return torch.from_numpy(moved)

    def rollout(
        self, belief: Float[Tensor, "b d"], actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The state after each action."""
        repeated = repeat(belief, "b d -> (b s) d", s=actions.shape[1])
        return roll_out(self, repeated, actions)
