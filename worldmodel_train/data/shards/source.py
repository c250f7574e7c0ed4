"""What all sources of samples have in common."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from worldmodel_train.types import Skip


@dataclass(frozen=True, kw_only=True)
class EncodedSample:
    """A video as it lies in its shard."""

    key: str
    shard: str
    video: bytes


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
