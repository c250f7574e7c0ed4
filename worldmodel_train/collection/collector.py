"""What acts for a run, and keeps the episodes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from worldmodel_train.batch import Batch, Origin
from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.config import CollectedConfig
from worldmodel_train.collection.episode_files import EpisodeFiles, chained, episode_in
from worldmodel_train.collection.policies import RandomPolicy
from worldmodel_train.collection.windows import Windows
from worldmodel_train.collection.world import World
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.write import npz_of
from worldmodel_train.protocols import HasPolicies, Policy, Preparation


class Collector:
    """Episode `n` is a function of the seed, `n` and the weights that acted it out.

    So a run that resumes from a step acts out again what came after it, and the files are the same.
    """

    def __init__(self, config: CollectedConfig, folder: Path, *, seed: int) -> None:
        self._config = config
        self._files = EpisodeFiles(folder)
        self._seed = seed
        self._windows = Windows(steps=config.steps, seed=seed)
        self._num_episodes = 0
        self._digest = ""
        self._last: Episode | None = None

    def resume(self, step: int, stored: Mapping[str, object]) -> None:
        """Reads the episodes that a run has after `step` steps.

        Raises:
            ValueError: One is missing, or they are not those that the checkpoint was trained on.
        """
        for number in range(self._config.episodes(step)):
            content = self._files.read(number)
            self._keep(episode_in(content, number), content)
        if self.state() != dict(stored):
            raise ValueError(
                f"the {self._num_episodes} episodes of the run are not those that the checkpoint "
                f"of step {step} was trained on; bring those back, or begin another run_dir"
            )

    def due(self, step: int) -> bool:
        """Whether something is acted out after `step` steps; before the first, always."""
        return step == 0 or self._config.episodes(step) > self._config.episodes(step - 1)

    def act(self, objective: nn.Module, step: int) -> Sequence[Episode]:
        """The episodes that are due after `step` steps."""
        if step == 0:
            numbers = range(self._config.random_episodes)
            policy: Policy[Any] = RandomPolicy(self._world.action_width)
        else:
            assert isinstance(objective, HasPolicies), "its Config said that it acts"
            numbers = range(self._config.episodes(step - 1), self._config.episodes(step))
            policy = objective.exploring()
        device = next(objective.parameters()).device
        return [self._act_out(policy, number, device) for number in numbers]

    def add(self, episodes: Sequence[Episode], *, write: bool) -> None:
        """Keeps episodes, which come in their order; `write` puts them into the run's directory."""
        if write:
            self._files.forget(first=self._num_episodes + len(episodes))
        for episode in episodes:
            content = npz_of(episode)
            if write:
                self._files.write(self._num_episodes, content)
            self._keep(episode, content)

    def state(self) -> dict[str, object]:
        """What tells these episodes from others, for a checkpoint."""
        return {"episodes": self._num_episodes, "digest": self._digest}

    def values(self) -> dict[str, float]:
        """What is reported of the last episode."""
        assert self._last is not None, "asked for before the first"
        assert self._last.rewards is not None
        return {
            "acting/episodes": float(self._num_episodes),
            "acting/return": float(self._last.rewards.sum(dtype="float64")),
            "acting/length": float(len(self._last.actions)),
        }

    def batches(
        self, prepare: Preparation[Any, Any], position: LoaderPosition
    ) -> Iterator[Batch[Any]]:
        """A rank's micro-batches, forever; each has what is there when it is asked for."""
        for number in count(position.first_step * position.accumulation):
            first = position.first_sample(number)
            step = first // position.global_batch
            samples = range(first, first + position.micro_batch)
            windows = self._windows.draw(samples, visible=self._config.visible(step))
            content = prepare([windows], seed=position.seed, step=step)
            batch = Batch(content=content, origin=Origin(first_sample=first))
            yield batch.pin_memory() if torch.cuda.is_available() else batch

    @cached_property
    def _world(self) -> World:
        return self._config.open_world()

    def _act_out(self, policy: Policy, number: int, device: torch.device) -> Episode:
        seed = EpisodeSeed(seed=self._seed, number=number)
        return act_out(self._world, policy, seed, longest=self._config.longest, device=device)

    def _keep(self, episode: Episode, content: bytes) -> None:
        self._windows.add(episode)
        self._digest = chained(self._digest, content)
        self._num_episodes += 1
        self._last = episode
