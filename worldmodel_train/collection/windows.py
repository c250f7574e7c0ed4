"""Windows drawn from the episodes of a run."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64, UInt64
from torch import Tensor

from worldmodel_train.data.random_streams import Stream, key
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.splitmix64 import GOLDEN, mix64
from worldmodel_train.types import Trajectories


class Windows:
    """All windows of `steps` observations; each is as likely as any other."""

    def __init__(self, *, steps: int, seed: int) -> None:
        self._steps = steps
        self._key = np.uint64(key(Stream.WINDOW, seed))
        self._episodes: list[Episode] = []
        self._first: Int64[np.ndarray, "_"] = np.zeros(1, np.int64)  # window of each episode

    def add(self, episode: Episode) -> None:
        """Adds the windows of one more episode; one that is too short has none."""
        self._episodes.append(episode)
        windows = max(episode.length - self._steps + 1, 0)
        self._first = np.append(self._first, self._first[-1] + windows)

    def draw(self, samples: range, *, visible: int) -> Trajectories:
        """A window for each sample of the run's order, out of the first `visible` episodes.

        A function of the sample's number and of these episodes.

        Raises:
            ValueError: All of them are too short.
        """
        assert visible <= len(self._episodes), f"{visible} of {len(self._episodes)} episodes"
        total = int(self._first[visible])
        if total == 0:
            raise ValueError(
                f"none of {visible} episodes has {self._steps} observations; use fewer data.steps "
                "or more data.random_episodes"
            )
        windows = (self._words(samples) % np.uint64(total)).astype(np.int64)
        numbers = np.searchsorted(self._first, windows, side="right") - 1
        starts = windows - self._first[numbers]
        places = list(zip(numbers.tolist(), starts.tolist(), strict=True))
        return Trajectories(
            observations=self._stacked("observations", places, self._steps),
            actions=self._stacked("actions", places, self._steps - 1),
            rewards=self._stacked("rewards", places, self._steps - 1),
            ends=self._stacked("ends", places, self._steps - 1),
            samples=tuple(samples),
        )

    def _words(self, samples: range) -> UInt64[np.ndarray, "_"]:
        numbers = np.arange(samples.start, samples.stop, dtype=np.uint64)
        return mix64(self._key + GOLDEN * numbers)

    def _stacked(self, name: str, places: Sequence[tuple[int, int]], length: int) -> Tensor:
        arrays = [
            getattr(self._episodes[number], name)[start : start + length]
            for number, start in places
        ]
        return torch.from_numpy(np.stack(arrays))
