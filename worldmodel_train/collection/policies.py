"""Policies that have learned nothing, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.collection.open_world import module_of
from worldmodel_train.collection.world import World
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.protocols import Policy

PolicyOf: TypeAlias = Callable[[World], Policy[Any]]
"""Makes what acts in a world; can be sent to another process."""


@dataclass(frozen=True)
class RandomPolicy:
    """Acts evenly between the bounds."""

    width: int

    def act(
        self, observation: Tensor, memory: None, *, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b a"], None]:
        """Actions that hang on nothing."""
        shape = (len(observation), self.width)
        drawn = torch.rand(shape, generator=generator, device=observation.device)
        return 2 * drawn - 1, None


@dataclass(frozen=True)
class Walk:
    """Random actions that last: an Ornstein-Uhlenbeck process, seen once a step.

    Evenly random actions undo each other and stay where they began; these go somewhere.
    """

    width: int
    lasting: float = 0.9
    """What of an action is left in the next; after ten steps there is a third of it."""
    spread: float = 0.7
    """Standard deviation of actions, of which those beyond the bounds count as these."""

    def act(
        self,
        observation: Tensor,
        memory: Float[Tensor, "b a"] | None,
        *,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a"]]:
        """The last action a little changed, and what to change next."""
        shape = (len(observation), self.width)
        drawn = torch.randn(shape, generator=generator, device=observation.device) * self.spread
        if memory is not None:
            drawn = self.lasting * memory + sqrt(1 - self.lasting**2) * drawn
        return drawn.clamp(-1, 1), drawn


def random(world: World) -> RandomPolicy:
    """Evenly random actions."""
    return RandomPolicy(world.action_width)


def walk(world: World) -> Walk:
    """Random actions that last."""
    return Walk(world.action_width)


def scripted(world: World) -> Policy[Any]:
    """What the world's own file says is to be done; raises WorldError where it says nothing."""
    offered = getattr(module_of(world.name), "scripted", None)
    if offered is None:
        raise WorldError(
            f"{world.name} offers no scripted policy; use random, walk, or a run that acts"
        )
    return offered(world.env)


NAMED: Mapping[str, PolicyOf] = MappingProxyType(
    {"random": random, "walk": walk, "scripted": scripted}
)
"""What needs no run."""
