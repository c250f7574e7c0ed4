"""Pictures of an episode that stay in their shard, of which a window is read alone."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.tar_members import (
    ChangedMemberError,
    CorruptTarError,
    Span,
    read_part,
)
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.npz import stored_at

LOST = (OSError, CorruptTarError, ChangedMemberError)
"""What reading raises where the shard is no longer what it was."""


@dataclass(frozen=True, kw_only=True)
class StoredFrames:
    """Where the pictures of an episode lie, one behind the other and not compressed."""

    shard: str
    span: Span
    """Of the file that holds them."""
    begin: int
    """The first one's byte in that."""
    shape: tuple[int, ...]
    """Of a picture."""

    def read(self, shown: slice) -> UInt8[np.ndarray, "t h w c"]:
        """These pictures; raises one of `LOST`."""
        each = prod(self.shape)
        part = range(self.begin + shown.start * each, self.begin + shown.stop * each)
        with Path(self.shard).open("rb", buffering=0) as file:
            content = read_part(file, self.span, part)
        return np.frombuffer(content, np.uint8).reshape(-1, *self.shape)[:: shown.step]


def stored_frames(sample: EncodedSample, episode: Episode) -> StoredFrames | None:
    """Where the pictures of a sample's episode lie; None where they cannot be read alone."""
    pictures, span = episode.observations, sample.spans.get("npz")
    if span is None or pictures is None or pictures.dtype != np.uint8:
        return None
    begin = stored_at(sample.files["npz"], "observations")
    if begin is None:
        return None
    return StoredFrames(shard=sample.shard, span=span, begin=begin, shape=pictures.shape[1:])
