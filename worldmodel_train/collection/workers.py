"""Acts episodes out in several processes, each with a world and a policy of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import PolicyOf
from worldmodel_train.collection.world import View, World
from worldmodel_train.data.packing.pool import Lost, in_processes
from worldmodel_train.data.trajectories.write import npz_of
from worldmodel_train.protocols import Policy


@dataclass(frozen=True)
class Refused:
    """Why an episode cannot be acted out, for who asked."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Actor:
    """What acts out episodes of one kind; it can be sent to another process, and opens there."""

    env: str
    view: View
    policy: PolicyOf
    seed: int
    longest: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> World:
        """The world; raises ValueError where it is not there, or where the policy does not fit."""
        return self._opened[0]

    def npz(self, number: int, beat: Callable[[], None] = lambda: None) -> bytes:
        """The file of an episode; `beat` is called at each step.

        Raises:
            ValueError: World or policy cannot be used.
        """
        world, policy = self._opened
        where = EpisodeSeed(seed=self.seed, number=number)
        cpu = torch.device("cpu")
        acting = _Beating(policy, beat)
        return npz_of(act_out(world, acting, where, longest=self.longest, device=cpu))

    def __call__(self, number: int, beat: Callable[[], None]) -> bytes | Refused:
        """The same, for a process that others wait for."""
        # several threads add in another order, and an episode would hang on the machine's load
        torch.set_num_threads(1)
        try:
            return self.npz(number, beat)
        except ValueError as error:
            return Refused(str(error))

    def __getstate__(self) -> dict[str, Any]:
        """Without the world, which each process opens for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_opened"}

    @cached_property
    def _opened(self) -> tuple[World, Policy[Any]]:
        world = open_world(self.env, self.view, self.options)
        return world, self.policy(world)


def in_workers(actor: Actor, numbers: range, *, workers: int, timeout_s: float) -> Iterator[bytes]:
    """The files of these episodes, in order.

    Raises:
        ValueError: An episode could not be acted out, or its process died or made no progress.
    """
    acted = in_processes(actor, numbers, workers=workers, timeout_s=timeout_s)
    with closing(acted):
        for number, found in acted:
            if isinstance(found, Lost):
                raise ValueError(
                    f"episode {number} of {actor.env}: {found.reason}, {found.detail}; the same "
                    "command goes on with it"
                )
            if isinstance(found, Refused):
                raise ValueError(found.message)
            yield found


@dataclass(frozen=True)
class _Beating:
    """A policy that says at each step that it still acts."""

    policy: Policy[Any]
    beat: Callable[[], None]

    def act(
        self, observation: Tensor, memory: object, *, generator: torch.Generator
    ) -> tuple[Tensor, object]:
        self.beat()
        return self.policy.act(observation, memory, generator=generator)
