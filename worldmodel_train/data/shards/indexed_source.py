"""Shards on a file system: any sample by its number, in a seeded order that needs no memory."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, generator, key
from worldmodel_train.data.shards.shard_counts import count_samples
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.tar_index import ShardSample, ShardTable, read_shard_table
from worldmodel_train.data.shards.tar_members import CorruptTarError, read_span
from worldmodel_train.data.video_files import MEMBER_LIMIT
from worldmodel_train.types import Skip

_CACHED_SAMPLES = 1_000_000  # about 60 MB of shard tables per loading process


class ShardSet:
    """The samples of a list of shards, numbered through; tables are read when first needed."""

    def __init__(self, shards: Sequence[str]) -> None:
        self._paths = tuple(shards)
        counts = count_samples([Path(path) for path in shards])
        self._ends = np.cumsum(counts)
        self.empty = tuple(path for path, count in zip(shards, counts, strict=True) if count == 0)
        self._tables: OrderedDict[int, ShardTable] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def locate(self, number: int) -> tuple[Path, ShardSample]:
        """The shard of a sample and its place there; raises SampleError if it is unusable."""
        shard = int(np.searchsorted(self._ends, number, side="right"))
        row = number - (int(self._ends[shard - 1]) if shard else 0)
        path = Path(self._paths[shard])
        try:
            table = self._table(shard)
        except OSError as error:
            raise SampleError(Skip("unreadable_shard", str(path), str(error))) from error
        if row >= len(table):
            raise SampleError(Skip("truncated_shard", str(path), f"sample {row}"))
        sample = table[row]
        if sample.problem:
            raise SampleError(Skip(sample.problem, str(path), sample.key))
        return path, sample

    def _table(self, shard: int) -> ShardTable:
        if shard in self._tables:
            self._tables.move_to_end(shard)
            return self._tables[shard]
        self._tables[shard] = read_shard_table(Path(self._paths[shard]))
        while len(self._tables) > 1 and sum(map(len, self._tables.values())) > _CACHED_SAMPLES:
            self._tables.popitem(last=False)
        return self._tables[shard]


def read_video(path: Path, sample: ShardSample) -> EncodedSample:
    """The sample's bytes; raises SampleError."""
    if sample.video.size > MEMBER_LIMIT:
        raise SampleError(Skip("too_large", str(path), sample.key))
    try:
        video = read_span(path, sample.video)
    except (CorruptTarError, OSError) as error:
        reason = str(error) if isinstance(error, CorruptTarError) else "unreadable_shard"
        raise SampleError(Skip(reason, str(path), sample.key)) from error
    return EncodedSample(key=sample.key, shard=str(path), video=video)


class IndexedSource:
    """A source whose every epoch is a permutation of its samples, a function of (seed, epoch)."""

    def __init__(self, name: str, shards: Sequence[str], *, seed: int, number: int) -> None:
        self._shards = ShardSet(shards)
        self._seed = seed
        self._number = number
        if len(self._shards) == 0:
            raise ValueError(f"data: the {len(shards)} shards of source '{name}' hold no samples")

    def __len__(self) -> int:
        return len(self._shards)

    @property
    def empty_shards(self) -> tuple[str, ...]:
        """Shards without a sample."""
        return self._shards.empty

    def number_at(self, position: int, attempt: int) -> int:
        """Which sample is drawn; a bad one is replaced by another of the same source."""
        size = len(self._shards)
        if attempt:
            draw = (self._seed, self._number, position, attempt)
            return int(generator(Stream.REPLACEMENT, *draw).integers(size))
        epoch, step = divmod(position, size)
        return _epoch_order(size, key(Stream.ORDER, self._seed, self._number, epoch))(step)

    def read(self, position: int, attempt: int) -> EncodedSample:
        """The sample drawn at this position; raises SampleError."""
        return read_video(*self._shards.locate(self.number_at(position, attempt)))


@lru_cache(maxsize=64)
def _epoch_order(size: int, epoch_key: int) -> Permutation:
    return Permutation(size, epoch_key)
