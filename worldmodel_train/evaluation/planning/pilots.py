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
from worldmodel_train.planners.energies import GoalEnergy
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Planner


class Replanning:
    """Searches again and again, each time from what is left of one's last plan."""

    def __init__(self, planner: Planner, *, seed: int) -> None:
        self._planner = planner
        self._generator = torch.Generator().manual_seed(seed)
        self._rest: dict[int, Float[Tensor, "h a"]] = {}

    def actions(
        self,
        dynamics: LatentDynamics[BeliefT],
        belief: BeliefT,
        energy: Energy,
        *,
        which: Int[ndarray, "b"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """The first `count` actions of the next plan of each of `which`."""
        rest = [self._rest[number] for number in which.tolist() if number in self._rest]
        plan = self._planner.plan(
            dynamics,
            belief,
            energy,
            warm_start=torch.stack(rest) if len(rest) == len(which) else None,
            generator=self._generator,
        )
        self._rest.update(zip(which.tolist(), plan.rest(count), strict=True))
        return plan.actions[:, :count].double().cpu().numpy()


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
        which: Int[ndarray, "b"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """The first actions of a plan; the next plan begins from what is left of it."""
        seen, done = states[-self.memory :], actions[max(len(actions) + 1 - self.memory, 0) :]
        with frozen(self.model) as device:
            belief = self.model.encode(
                self._pictures(rearrange(seen, "t b d -> b t d")).to(device),
                self._scaled(rearrange(done, "t b a -> b t a")).to(device),
            )
            energy = self.energy(self._goal[torch.from_numpy(which)])
            planned = self.search.actions(self.model, belief, energy, which=which, count=count)
        return (
            planned if self.scale is None else real(torch.from_numpy(planned), self.scale).numpy()
        )

    def _scaled(self, actions: Float[ndarray, "b t a"]) -> Float[Tensor, "b t a"]:
        taken = torch.from_numpy(actions).float()
        return taken if self.scale is None else normalised(taken, self.scale)

    @cached_property
    def _goal(self) -> Float[Tensor, "b d"]:
        """The latents of the goals, which stay what they are."""
        with frozen(self.model) as device:
            nothing_done = torch.empty(len(self.goals), 0, self.world.action_width(), device=device)
            pictures = self._pictures(self.goals[:, None]).to(device)
            return self.model.latent(self.model.encode(pictures, nothing_done))

    def _pictures(self, states: Float[ndarray, "b t d"]) -> UInt8[Tensor, "b t h w c"]:
        return torch.from_numpy(self.world.pictures(states))


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
        which: Int[ndarray, "b"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """The first actions of a plan, as in `ModelPilot`."""
        del actions
        near = self.energy(self._places(self.goals[which]))

        def energy(
            latents: Float[Tensor, "b s h d"], taken: Float[Tensor, "b s h a"]
        ) -> Float[Tensor, "b s"]:
            return near(self._places(latents.double().numpy()), taken)

        belief = torch.from_numpy(states[-1]).float()
        return self.search.actions(TrueWorld(self.world), belief, energy, which=which, count=count)

    def _places(self, states: Float[ndarray, "*b d"]) -> Float[Tensor, "*b p"]:
        return torch.from_numpy(self.world.places(states)).float()


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
        which: Int[ndarray, "b"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """One action, so that it may look again after each."""
        del actions, count
        return self.rule(states[-1], self.goals[which])[:, None]


@dataclass(frozen=True, kw_only=True)
class RandomPilot:
    """Acts evenly between the bounds."""

    width: int
    generator: np.random.Generator

    def choose(
        self,
        states: Float[ndarray, "t b d"],
        actions: Float[ndarray, "t-1 b a"],
        *,
        which: Int[ndarray, "b"],
        count: int,
    ) -> Float[ndarray, "b n a"]:
        """Actions that hang on nothing."""
        del actions, which
        return self.generator.uniform(-1, 1, (states.shape[1], count, self.width))


class TrueWorld:
    """A world as a `LatentDynamics`: its belief is the state, and so are its latents."""

    def __init__(self, world: GoalWorld) -> None:
        self.world = world

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"],
        actions: Float[Tensor, "b t-1 a"],
    ) -> Float[Tensor, "b d"]:
        """The last observation, which is the state."""
        del actions
        return observations[:, -1]

    def latent(self, belief: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """The state."""
        return belief

    def intervene(
        self, belief: Float[Tensor, "b d"], latent: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b d"]:
        """The other state."""
        del belief
        return latent

    def step(
        self, belief: Float[Tensor, "b d"], action: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b d"]:
        """The state after one action."""
        moved = self.world.move(belief.double().numpy(), action.double().numpy())
        return torch.from_numpy(moved).float()

    def rollout(
        self, belief: Float[Tensor, "b d"], actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The state after each action."""
        candidates = actions.shape[1]
        now, states = repeat(belief, "b d -> (b s) d", s=candidates), []
        for action in rearrange(actions, "b s h a -> h (b s) a"):
            now = self.step(now, action)
            states.append(now)
        return rearrange(torch.stack(states), "h (b s) d -> b s h d", s=candidates)
