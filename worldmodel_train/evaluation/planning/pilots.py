"""Who tries to reach goals: a planner with a model, the same with the true world, and without."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.planners.energies import Distance, nearness
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import LatentDynamics


def seen_of(
    world: GoalWorld,
    states: Float[ndarray, "t b d"],
    actions: Float[ndarray, "t-1 b a"],
    *,
    last: int,
    device: torch.device,
) -> tuple[UInt8[Tensor, "b n h w c"], Float[Tensor, "b n-1 a"]]:
    """The `last` pictures of an episode, or as many as there are, and the actions between them."""
    seen, done = states[-last:], actions[len(actions) + 1 - last :]
    return (
        torch.from_numpy(world.pictures(rearrange(seen, "t b d -> b t d"))).to(device),
        torch.from_numpy(rearrange(done, "t b a -> b t a")).float().to(device),
    )


def as_array(actions: Float[Tensor, "b n a"]) -> Float[ndarray, "b n a"]:
    """Actions as worlds take them."""
    return actions.double().cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class ModelPilot:
    """Plans with a model of pictures, which is shown nothing but these and the goal's picture."""

    model: LatentDynamics[Any]
    search: Replanning
    world: GoalWorld
    goals: Float[ndarray, "b d"]
    distance: Distance
    way: float
    """Weight of the way beside its end, as in `nearness`."""
    memory: int
    """Pictures that it is shown: the last ones."""

    def choose(
        self, states: Float[ndarray, "t b d"], actions: Float[ndarray, "t-1 b a"], *, count: int
    ) -> Float[ndarray, "b n a"]:
        """The first actions of a plan; the next plan begins from what is left of it."""
        with frozen(self.model) as device:
            belief = self.model.encode(
                *seen_of(self.world, states, actions, last=self.memory, device=device)
            )
            goal = self._latent(self.goals, device)
            energy = nearness(goal, self.distance, way=self.way)
            return as_array(self.search.actions(self.model, belief, energy, count=count))

    def _latent(self, states: Float[ndarray, "b d"], device: torch.device) -> Tensor:
        nothing_done = torch.empty(len(states), 0, self.world.action_width(), device=device)
        pictures = torch.from_numpy(self.world.pictures(states[:, None])).to(device)
        return self.model.latent(self.model.encode(pictures, nothing_done))


@dataclass(frozen=True, kw_only=True)
class TruePilot:
    """The same search in the world itself, from its state: what planning could reach at best."""

    search: Replanning
    world: GoalWorld
    goals: Float[ndarray, "b d"]
    way: float
    """As in `ModelPilot`."""

    def choose(
        self, states: Float[ndarray, "t b d"], actions: Float[ndarray, "t-1 b a"], *, count: int
    ) -> Float[ndarray, "b n a"]:
        """The first actions of a plan for the squared distance of places."""
        del actions
        belief = torch.from_numpy(states[-1])
        plan = self.search.actions(TrueWorld(self.world), belief, self._energy, count=count)
        return as_array(plan)

    def _energy(
        self, states: Float[Tensor, "b s h d"], actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s"]:
        goals, places = (
            torch.from_numpy(self.world.places(here)).float()
            for here in (self.goals, states.double().numpy())
        )
        return nearness(goals, "l2", way=self.way)(places, actions)


@dataclass(frozen=True, kw_only=True)
class RulePilot:
    """Acts by a rule of the world's own that is told the state."""

    rule: Callable[[Float[ndarray, "b d"], Float[ndarray, "b d"]], Float[ndarray, "b a"]]
    goals: Float[ndarray, "b d"]

    def choose(
        self, states: Float[ndarray, "t b d"], actions: Float[ndarray, "t-1 b a"], *, count: int
    ) -> Float[ndarray, "b n a"]:
        """One action, so that it may look again after each."""
        del actions, count
        return self.rule(states[-1], self.goals)[:, None]


@dataclass(frozen=True, kw_only=True)
class RandomPilot:
    """Acts evenly between the bounds."""

    width: int
    generator: np.random.Generator

    def choose(
        self, states: Float[ndarray, "t b d"], actions: Float[ndarray, "t-1 b a"], *, count: int
    ) -> Float[ndarray, "b n a"]:
        """Actions that hang on nothing."""
        del actions
        return self.generator.uniform(-1, 1, (states.shape[1], count, self.width))


class TrueWorld:
    """A world as a `LatentDynamics`: its belief is the state, and so are its latents.

    They stay in fp64: a state that lies against a wall would be rounded into it.
    """

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
        return torch.from_numpy(moved)

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
