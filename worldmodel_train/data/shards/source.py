"""What all sources of samples have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from worldmodel_train.batch import Skip
from worldmodel_train.data.shards.tar_members import Span
from worldmodel_train.data.shards.wanted_files import VIDEO, is_video, names_video, video_of


@dataclass(frozen=True, kw_only=True)
class EncodedSample:
    """What is read of a sample, as it lies in its shard."""

    key: str
    shard: str
    files: Mapping[str, bytes]
    """By the names that `WantedFiles` has."""
    spans: Mapping[str, Span] = field(default_factory=dict)
    """Where they lie in the shard; empty of a stream, which has nothing twice."""

    @property
    def video(self) -> bytes:
        """The sample's video."""
        return self.files[VIDEO]

    @property
    def has_video(self) -> bool:
        """Whether any video was read."""
        return any(names_video(name) or is_video(name) for name in self.files)

    def seen_by(self, camera: str) -> "EncodedSample":
        """The same with this camera's video, which was read, for its only one."""
        others = {name: file for name, file in self.files.items() if not names_video(name)}
        return replace(self, files={**others, VIDEO: self.files[video_of(camera)]})

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(map(len, self.files.values()))


class SampleError(Exception):
    """A sample that cannot be read."""

    def __init__(self, skip: Skip) -> None:
        super().__init__(f"{skip.reason}: '{skip.key}' in {skip.shard}")
        self.skip = skip


@runtime_checkable
class Source(Protocol):
    """Gives the samples of one set of shards."""

    def read(self, position: int, attempt: int) -> EncodedSample:
        """The `position`-th sample drawn from this source; raises SampleError.

        `attempt` counts the bad samples that this one replaces.
        """
        ...

    def number_at(self, position: int, attempt: int) -> int | None:
        """Which of its samples that is; None of a stream, which cannot give one again."""
        ...
