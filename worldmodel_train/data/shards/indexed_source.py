"""Shards on a file system, in a seeded order that needs no memory."""

from collections.abc import Sequence

from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.wanted_files import VIDEOS, WantedFiles
from worldmodel_train.data.source_order import SourceOrder


class IndexedSource:
    """A source whose every epoch is a permutation of its samples, a function of (seed, epoch)."""

    def __init__(
        self,
        name: str,
        shards: Sequence[str],
        *,
        seed: int,
        number: int,
        wanted: WantedFiles = VIDEOS,
    ) -> None:
        self._wanted = wanted
        self._shards = ShardSet(shards)
        if len(self._shards) == 0:
            raise ValueError(f"data: the {len(shards)} shards of source '{name}' hold no samples")
        self._order = SourceOrder(len(self._shards), seed=seed, number=number)

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def empty_shards(self) -> tuple[str, ...]:
        """Shards without a sample."""
        return self._shards.empty

    def read(self, position: int, attempt: int) -> EncodedSample:
        """The sample drawn at this position; raises SampleError."""
        return self._shards.sample(self.number_at(position, attempt), self._wanted)

    def number_at(self, position: int, attempt: int) -> int:
        """Which of all samples is drawn at this position."""
        return self._order.number_at(position, attempt)
