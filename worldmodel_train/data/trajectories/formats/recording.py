"""What a reader of episodes gives, and the rules by which rows of a file become an episode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.trajectories.episode import Episode, episode_of
from worldmodel_train.data.trajectories.verdict import BadEpisode


@dataclass(frozen=True, kw_only=True)
class Film:
    """The frames of a video that show an episode, one for each observation."""

    path: Path
    count: int
    """Frames, from the first one on."""
    fps: float
    """At which they were recorded, whatever the video's header says."""
    every: int = 1
    """Every so many-th is one."""
    start_s: float | None = None
    """The time of the first; null where the video begins with it, and its times mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An episode, and the films of it where it has no observations itself."""

    episode: Episode
    films: Mapping[str, Film] = field(default_factory=dict)
    """By camera where there are several; an only one has no name."""

    @property
    def suffixes(self) -> dict[str, Film]:
        """The films by what follows the key of the episode in a shard."""
        return {f".{name}.mp4" if name else ".mp4": film for name, film in self.films.items()}


def named_films(cameras: Sequence[str], films: Sequence[Film]) -> dict[str, Film]:
    """The films as a `Recording` has them."""
    return dict(zip(cameras if len(cameras) > 1 else ("",), films, strict=True))


class EpisodeReader(Protocol):
    """The episodes of a folder; sent to worker processes, so small."""

    def entries(self) -> Sequence[Entry]:
        """One for each episode, in a fixed order; its `source` is what `read` is given.

        Raises PackError where the folder is none of this format.
        """
        ...

    def read(self, source: str) -> Recording:
        """One episode; raises BadEpisode, BadArraysError or BadVideo where it cannot be used."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The arrays of an episode as recorders write them: a row for each moment.

    In row t stand what was observed, what was done then, and what came of it. A recorder that keeps
    what was observed next as well has it in `next_observations` and `next_states`.
    """

    actions: Shaped[np.ndarray, "..."]
    observations: Shaped[np.ndarray, "..."] | None = None
    states: Shaped[np.ndarray, "..."] | None = None
    rewards: Shaped[np.ndarray, "..."] | None = None
    dones: Shaped[np.ndarray, "..."] | None = None
    next_observations: Shaped[np.ndarray, "..."] | None = None
    next_states: Shaped[np.ndarray, "..."] | None = None

    @property
    def moments(self) -> int:
        """Rows of what was observed."""
        for array in (self.observations, self.states):
            if array is not None:
                return len(array)
        return len(self.actions)

    @property
    def last_outcome_is_known(self) -> bool:
        """Whether what the last action led to stands in the file, for all that was observed."""
        pairs = (
            (self.observations, self.next_observations),
            (self.states, self.next_states),
        )
        seen = [later for now, later in pairs if now is not None]
        return bool(seen) and all(later is not None for later in seen)


def episode_of_rows(rows: Rows, metadata: Mapping[str, Any]) -> Episode:
    """The episode; raises BadArraysError or BadEpisode where the rows make none.

    What the last action led to is added to the observations where it is known. Otherwise that
    action is left out, and its reward with it: training could not show where it led.
    """
    observations, states = rows.observations, rows.states
    kept = len(rows.actions)
    if kept == rows.moments:
        if rows.last_outcome_is_known:
            observations = _with_last(observations, rows.next_observations)
            states = _with_last(states, rows.next_states)
        else:
            kept -= 1
    if kept < 1:
        raise BadEpisode("too_short", "nothing is done in it")
    if observations is not None and states is not None and len(observations) != len(states):
        detail = f"{len(states)} states beside {len(observations)} observations"
        raise BadEpisode("length_mismatch", detail)
    arrays = {
        "actions": rows.actions[:kept],
        "observations": None if observations is None else channels_last(observations),
        "states": states,
        "rewards": None if rows.rewards is None else _cut(rows, rows.rewards, kept),
        "ends": None if rows.dones is None else _ends(_cut(rows, rows.dones, kept)),
    }
    found = episode_of({name: array for name, array in arrays.items() if array is not None})
    return replace(found, metadata=metadata)


def channels_last(pictures: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Pictures as `T h w c`, also where they are `T c h w`; all else as it is."""
    if pictures.dtype == np.uint8 and pictures.ndim == 4:
        first, last = pictures.shape[1], pictures.shape[3]
        if first in (1, 3) and last not in (1, 3):
            return np.ascontiguousarray(np.moveaxis(pictures, 1, -1))
    return pictures


def in_floats(columns: Sequence[Shaped[np.ndarray, "T ..."]]) -> Float32[np.ndarray, "T s"]:
    """The columns beside each other, as a state has them."""
    with np.errstate(over="ignore"):  # what is too large for fp32 is not finite, and named for it
        flat = [column.reshape(len(column), -1).astype(np.float32) for column in columns]
    if len({len(column) for column in flat}) > 1:
        lengths = ", ".join(str(len(column)) for column in flat)
        raise BadEpisode("length_mismatch", f"states of {lengths} rows")
    return np.concatenate(flat, axis=1)


def _with_last(
    array: Shaped[np.ndarray, "T ..."] | None, later: Shaped[np.ndarray, "T ..."] | None
) -> Shaped[np.ndarray, "..."] | None:
    return None if array is None or later is None else np.concatenate([array, later[-1:]])


def _cut(rows: Rows, array: Shaped[np.ndarray, "..."], kept: int) -> Shaped[np.ndarray, "..."]:
    """As many rows as actions are kept, if there were as many as actions; one number in each."""
    column = array[:kept] if len(array) == len(rows.actions) else array
    return column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column


def _ends(dones: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Where it ends: a mark before the last row says that a goal is met, and it goes on."""
    ends = np.zeros(dones.shape, np.bool_)
    ends[-1:] = dones[-1:] > 0
    return ends
