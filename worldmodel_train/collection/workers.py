"""Acts episodes out in several processes, each with a world and a policy of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.disagreement import Choice, Judge
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import PolicyOf
from worldmodel_train.collection.world import View, World
from worldmodel_train.data.packing.pool import Lost, in_processes
from worldmodel_train.data.trajectories.episode import Episode
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
    choice: Choice | None = None
    """How the episode of a number is chosen; by default there is one for each."""

    def open(self) -> World:
        """The world; raises ValueError where it is not there, or where the policy does not fit."""
        return self._opened[0]

    def npz(self, number: int, beat: Callable[[], None] = lambda: None) -> bytes:
        """The file of an episode; `beat` is called at each step.

        Of k candidates, number n is chosen among those that would be n k to n k + k - 1 without a
        choice.

        Raises:
            ValueError: World, policy or judge cannot be used.
        """
        if self.choice is None:
            return npz_of(self._acted(number, beat))
        first = number * self.choice.candidates
        numbers = range(first, first + self.choice.candidates)
        return npz_of(max((self._acted(one, beat) for one in numbers), key=self._judge))

    def __call__(self, number: int, beat: Callable[[], None]) -> bytes | Refused:
        """The same, for a process that others wait for."""
        # several threads add in another order, and an episode would hang on the machine's load
        torch.set_num_threads(1)
        try:
            return self.npz(number, beat)
        except ValueError as error:
            return Refused(str(error))

    def __getstate__(self) -> dict[str, Any]:
        """Without world and judge, which each process opens for itself."""
        opened = ("_opened", "_judge")
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    def _acted(self, number: int, beat: Callable[[], None]) -> Episode:
        world, policy = self._opened
        where = EpisodeSeed(seed=self.seed, number=number)
        acting, cpu = _Beating(policy, beat), torch.device("cpu")
        return act_out(world, acting, where, longest=self.longest, device=cpu)

    @cached_property
    def _opened(self) -> tuple[World, Policy[Any]]:
        world = open_world(self.env, self.view, self.options)
        return world, self.policy(world)

    @cached_property
    def _judge(self) -> Judge:
        assert self.choice is not None, "asked for where something is chosen"
        return self.choice.judge_of()


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
