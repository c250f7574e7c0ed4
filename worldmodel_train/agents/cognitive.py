"""LeCun's architecture for goals in a world: six parts, each one plainly named.

"A Path Towards Autonomous Machine Intelligence" (2022), sections 3 and 4. The configurator says
what is wanted and how hard to think; perception makes a belief of pictures; the world model
imagines; the cost judges what is imagined; short-term memory keeps the episode; the actor acts: in
Mode-2 by a search in the world model, in Mode-1 by a policy that has learned from such searches.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Generic

import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.agents.goal_networks import Critic, ReactivePolicy
from worldmodel_train.agents.short_term_memory import Advice, Moment, ShortTermMemory
from worldmodel_train.planners.energies import Counted, Distance, nearness
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics


class Mode(Enum):
    """How hard to think."""

    REACT = "Mode-1"
    PLAN = "Mode-2"
    LEARN = "Mode-1, told by Mode-2 what that would have done"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the configurator sets for the other parts."""

    goal: Float[Tensor, "b d"]
    energy: Energy
    mode: Mode


@dataclass(frozen=True, kw_only=True)
class Perception(Generic[BeliefT]):
    """From pictures, and what was done between them, to beliefs and latents."""

    model: LatentDynamics[BeliefT]

    def see(
        self, pictures: UInt8[Tensor, "b t h w c"], actions: Float[Tensor, "b t-1 a"]
    ) -> BeliefT:
        """The belief at the last picture."""
        return self.model.encode(pictures, actions)

    def recognise(
        self, pictures: UInt8[Tensor, "b 1 h w c"], *, actions: int
    ) -> Float[Tensor, "b d"]:
        """The latents of single pictures, such as goals; actions have so many numbers."""
        nothing_done = torch.empty(len(pictures), 0, actions, device=pictures.device)
        return self.model.latent(self.model.encode(pictures, nothing_done))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What is bad: to be far from the goal, now (intrinsic) and later (the critic's guess)."""

    distance: Distance
    way: float
    """Weight of the way of a plan beside what is counted, as in `nearness`."""
    critic: Critic
    counted: Counted = "end"
    """Whether a plan counts by its end, or by where it is nearest to the goal."""
    critic_weight: float = 0.0
    """Of what the critic says of a plan's last latent; 0: it is not asked."""

    def intrinsic(
        self, latent: Float[Tensor, "b d"], goal: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """How far each world is from its goal."""
        no_action = latent.new_empty(len(latent), 1, 1, 0)
        return nearness(goal, self.distance)(latent[:, None, None], no_action)[:, 0]

    def energy(self, goal: Float[Tensor, "b d"]) -> Energy:
        """What plans make small."""
        near = nearness(goal, self.distance, counted=self.counted, way=self.way)
        if not self.critic_weight:
            return near

        def judged(
            latents: Float[Tensor, "b s h d"], actions: Float[Tensor, "b s h a"]
        ) -> Float[Tensor, "b s"]:
            last = latents[:, :, -1]
            later = self.critic(last, goal[:, None].expand_as(last))
            return near(latents, actions) + self.critic_weight * later

        return judged


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Both ways to act."""

    policy: ReactivePolicy
    """Mode-1."""
    search: Replanning
    """Mode-2."""


@dataclass(frozen=True, kw_only=True)
class Configurator:
    """Turns a wish into what the other parts need."""

    perception: Perception[Any]
    cost: Cost

    def task(self, goals: UInt8[Tensor, "b 1 h w c"], mode: Mode, *, actions: int) -> Task:
        """To reach what the pictures show; actions have so many numbers."""
        goal = self.perception.recognise(goals, actions=actions)
        return Task(goal=goal, energy=self.cost.energy(goal), mode=mode)

    def part(self, task: Task, which: Int[ndarray, "w"]) -> Task:
        """The task of some of the worlds."""
        goal = task.goal[torch.from_numpy(which)]
        return replace(task, goal=goal, energy=self.cost.energy(goal))


class CognitiveAgent(Generic[BeliefT]):
    """The six parts at work, in many worlds at once."""

    def __init__(self, *, model: LatentDynamics[BeliefT], cost: Cost, actor: Actor) -> None:
        self.perception = Perception(model=model)
        self.world_model = model
        self.cost = cost
        self.actor = actor
        self.configurator = Configurator(perception=self.perception, cost=cost)
        self.memory = ShortTermMemory()
        self._task: Task | None = None

    def pursue(self, goals: UInt8[Tensor, "b 1 h w c"], mode: Mode, *, actions: int) -> None:
        """Begins an episode towards what the pictures show; actions have so many numbers."""
        self._task = self.configurator.task(goals, mode, actions=actions)
        self.memory.forget()
        self.actor.search.forget()

    def act(
        self,
        pictures: UInt8[Tensor, "b t h w c"],
        done: Float[Tensor, "b t-1 a"],
        *,
        count: int,
        which: Int[ndarray, "b"] | None = None,
    ) -> Float[Tensor, "b n a"]:
        """The next `count` actions of a plan, or one in Mode-1, which looks again after each.

        `which` tells whose pictures these are where they are not of all worlds.
        """
        assert self._task is not None, "it has no goal; call pursue() first"
        task = self._task if which is None else self.configurator.part(self._task, which)
        belief = self.perception.see(pictures, done)
        latent = self.world_model.latent(belief)
        advice = None
        if task.mode is not Mode.REACT:
            advice = self.advice(belief, task, count=count, which=which)
        if task.mode is Mode.PLAN and advice is not None:
            chosen = advice.actions
        else:
            chosen = self.actor.policy(latent, task.goal)[:, None]
        cost = self.cost.intrinsic(latent, task.goal)
        self.memory.note(
            Moment(latent=latent, goal=task.goal, cost=cost, actions=chosen, advice=advice)
        )
        return chosen

    def advice(
        self, belief: BeliefT, task: Task, *, count: int, which: Int[ndarray, "b"] | None = None
    ) -> Advice:
        """What Mode-2 does next, and what it imagines on the way."""
        if task.mode is Mode.LEARN:
            # what is left of the last plan begins where its actions were to lead; others were done
            self.actor.search.forget()
        actions = self.actor.search.actions(
            self.world_model, belief, task.energy, count=count, which=which
        )
        imagined = self.world_model.rollout(belief, actions[:, None])[:, 0]
        latents = torch.cat((self.world_model.latent(belief)[:, None], imagined[:, :-1]), dim=1)
        return Advice(latents=latents, actions=actions)
