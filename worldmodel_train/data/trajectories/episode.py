"""One episode: its arrays, and what must be true of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped, UInt8

from worldmodel_train.batch import Skip
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.trajectories.npz import BadArraysError, read_arrays

ARRAYS = ("observations", "actions", "states", "rewards", "ends")


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What was observed and done, from an episode's beginning to its end or a cut."""

    actions: Float32[np.ndarray, "_ a"] | Int64[np.ndarray, "_ a"]
    observations: UInt8[np.ndarray, "T h w c"] | Float32[np.ndarray, "T d"] | None = None
    """None where they lie in a video."""
    states: Float32[np.ndarray, "T s"] | None = None
    rewards: Float32[np.ndarray, "_"] | None = None
    ends: Bool[np.ndarray, "_"] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it, as JSON can carry it; kept beside it, and not read for training."""

    @property
    def length(self) -> int:
        """Observations: one more than actions."""
        return len(self.actions) + 1

    @property
    def num_bytes(self) -> int:
        """Of all arrays."""
        arrays = (getattr(self, name) for name in ARRAYS)
        return sum(array.nbytes for array in arrays if array is not None)


def read_episode(sample: EncodedSample, *, most_bytes: int) -> Episode:
    """The arrays of a sample; raises SampleError where they are not those of an episode."""
    try:
        return episode_of(arrays_of(sample, most_bytes=most_bytes))
    except BadArraysError as error:
        raise SampleError(Skip(error.reason, sample.shard, sample.key)) from error


def arrays_of(sample: EncodedSample, *, most_bytes: int) -> dict[str, Shaped[np.ndarray, "..."]]:
    """What a sample has of an episode's arrays, none of them checked; raises BadArraysError.

    Beside a video there are no observations.
    """
    names = ARRAYS[1:] if sample.has_video else ARRAYS
    return read_arrays(sample.files["npz"], names, most_bytes=most_bytes)


def episode_of(arrays: dict[str, Shaped[np.ndarray, "..."]]) -> Episode:
    """The episode with these arrays; raises BadArraysError where they do not make one."""
    if "actions" not in arrays:
        raise BadArraysError("missing_array", "there are no actions")
    actions = _numbers("actions", arrays["actions"])
    episode = Episode(
        actions=actions[:, None] if actions.ndim == 1 else actions,
        observations=_observations(arrays.get("observations")),
        states=_floats("states", arrays.get("states"), axes=2),
        rewards=_floats("rewards", arrays.get("rewards"), axes=1),
        ends=_ends(arrays.get("ends")),
    )
    for problem in _wrong_lengths(episode):
        raise BadArraysError("length_mismatch", problem)
    if episode.ends is not None and episode.ends[:-1].any():
        raise BadArraysError("end_inside_episode", "each episode is a sample of its own")
    return episode


def _numbers(
    name: str, array: Shaped[np.ndarray, "..."]
) -> Float32[np.ndarray, "..."] | Int64[np.ndarray, "..."]:
    """Actions: integers as choices, all else as finite floats."""
    if array.ndim not in (1, 2):
        raise BadArraysError("wrong_array", f"{name} has shape {array.shape}")
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return _finite(name, array)


def _observations(
    array: Shaped[np.ndarray, "..."] | None,
) -> UInt8[np.ndarray, "T h w c"] | Float32[np.ndarray, "T d"] | None:
    if array is not None and array.dtype == np.uint8 and array.ndim == 4:
        return array
    return _floats("observations", array, axes=2)


def _floats(
    name: str, array: Shaped[np.ndarray, "..."] | None, *, axes: int
) -> Float32[np.ndarray, "..."] | None:
    if array is None:
        return None
    if array.ndim != axes or array.dtype.kind != "f":
        raise BadArraysError("wrong_array", f"{name} has shape {array.shape} of {array.dtype}")
    return _finite(name, array)


def _finite(name: str, array: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """In fp32; raises BadArraysError where a number is none, or too large for that."""
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BadArraysError("not_finite", name)
    return numbers


def _ends(array: Shaped[np.ndarray, "..."] | None) -> Bool[np.ndarray, "_"] | None:
    if array is not None and (array.ndim != 1 or array.dtype != np.bool_):
        raise BadArraysError("wrong_array", f"ends has shape {array.shape} of {array.dtype}")
    return array


def _wrong_lengths(episode: Episode) -> Iterator[str]:
    expected = {
        "observations": episode.length,
        "states": episode.length,
        "rewards": episode.length - 1,
        "ends": episode.length - 1,
    }
    for name, length in expected.items():
        array = getattr(episode, name)
        if array is not None and len(array) != length:
            yield f"{len(array)} {name} beside {episode.length - 1} actions"
