"""The samples of many shards, numbered through; any of them is read by its number."""

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from worldmodel_train.batch import Skip
from worldmodel_train.data.shards import folder_index, folder_index_v1
from worldmodel_train.data.shards.folder_index import INDEX_FILE
from worldmodel_train.data.shards.open_files import OpenFiles
from worldmodel_train.data.shards.shard_counts import UNKNOWN, count_samples
from worldmodel_train.data.shards.shard_files import ShardFiles
from worldmodel_train.data.shards.shard_table import ShardSample, ShardTable
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.tar_index import scan
from worldmodel_train.data.shards.tar_members import (
    ChangedMemberError,
    CorruptTarError,
    read_member,
)
from worldmodel_train.data.shards.wanted_files import VIDEOS, WantedFiles

_log = logging.getLogger(__name__)

_CACHED_SAMPLES = 1_000_000  # about 110 MB of scanned tables per loading process


class ShardSet:
    """The samples of a list of shards, numbered through.

    A folder's index says where a sample lies; a shard without one, or whose index turns out to be
    another shard's, is scanned when it is first needed. Some 50 bytes a shard, whatever it holds.
    """

    def __init__(self, shards: Sequence[str]) -> None:
        self._shards = shards if isinstance(shards, ShardFiles) else ShardFiles.of(shards)
        counts = count_samples(self._shards)
        self._sizes, self._places, self._versions = counts.sizes, counts.places, counts.versions
        self._ends = np.cumsum(counts.samples)
        self.empty = tuple(self._shards[int(i)] for i in np.flatnonzero(counts.samples == 0))
        self._indexes = OpenFiles()
        self._stale: set[int] = set()
        self._tables: OrderedDict[int, ShardTable] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def num_stale(self) -> int:
        """Shards met so far by this process that their index describes wrongly."""
        return len(self._stale)

    def find(self, number: int) -> tuple[int, int]:
        """Which shard holds a sample, and its row there."""
        assert 0 <= number < len(self)
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return shard, number - (int(self._ends[shard - 1]) if shard else 0)

    def video(self, number: int) -> EncodedSample:
        """A sample's video; raises SampleError."""
        return self.sample(number, VIDEOS)

    def sample(self, number: int, wanted: WantedFiles) -> EncodedSample:
        """What is wanted of a sample; raises SampleError."""
        shard, row = self.find(number)
        path = self._shards[shard]
        try:
            with Path(path).open("rb") as file:
                sample = self._indexed(file, shard, row) or self._scanned(file, shard, row)
                try:
                    return _encoded(file, path, sample, wanted)
                except ChangedMemberError as error:
                    self._distrust(shard, str(error))
                sample = self._scanned(file, shard, row)
                return _encoded(file, path, sample, wanted)
        except OSError as error:
            raise SampleError(Skip("unreadable_shard", path, str(error))) from error
        except ChangedMemberError as error:  # while it was being read
            raise SampleError(Skip("changed_shard", path, f"sample {row}")) from error

    def _indexed(self, file: BinaryIO, shard: int, row: int) -> ShardSample | None:
        """The sample as the index has it; None where the shard must be scanned."""
        if self._sizes[shard] == UNKNOWN or shard in self._stale:
            return None
        size = os.fstat(file.fileno()).st_size
        if size != self._sizes[shard]:
            return self._distrust(shard, f"{size} bytes, not {self._sizes[shard]}")
        if self._places[shard] == UNKNOWN:
            return None
        begin, end = (int(self._ends[shard - 1]) if shard else 0), int(self._ends[shard])
        index = Path(self._shards[shard]).with_name(INDEX_FILE)
        read_row = (folder_index_v1 if self._versions[shard] == 1 else folder_index).read_row
        try:
            descriptor = self._indexes.descriptor(index)
            return read_row(descriptor, int(self._places[shard]), end - begin, row)
        except (OSError, ValueError) as error:
            return self._distrust(shard, f"the index cannot be read: {error}")

    def _distrust(self, shard: int, why: str) -> None:
        """From now on the shard is scanned, whatever the index says."""
        self._tables.pop(shard, None)
        self._stale.add(shard)
        number = len(self._stale)
        if number & (number - 1) == 0:  # 1, 2, 4, 8 ...: a wrong set does not fill the log
            _log.warning(
                "%s is not the shard of its index (%s); scanning it; %d such shards so far in this "
                "process. Make the index again with `wmt data index %s`",
                self._shards[shard],
                why,
                number,
                Path(self._shards[shard]).parent,
            )

    def _scanned(self, file: BinaryIO, shard: int, row: int) -> ShardSample:
        """The sample as a scan of its shard finds it; raises SampleError if there is none."""
        table = self._tables.get(shard)
        if table is None:
            table = self._tables[shard] = scan(file)
            while len(self._tables) > 1 and sum(map(len, self._tables.values())) > _CACHED_SAMPLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(shard)
        if row >= len(table):
            raise SampleError(Skip("truncated_shard", self._shards[shard], f"sample {row}"))
        return table[row]


def _encoded(file: BinaryIO, path: str, sample: ShardSample, wanted: WantedFiles) -> EncodedSample:
    """The sample's files; raises SampleError where it cannot be used."""
    problem = wanted.problem(sample)
    if problem:
        raise SampleError(Skip(problem, path, sample.key))
    spans = wanted.spans(sample)
    try:
        files = {name: read_member(file, span) for name, span in spans.items()}
    except CorruptTarError as error:
        raise SampleError(Skip(str(error), path, sample.key)) from error
    return EncodedSample(key=sample.key, shard=path, files=files, spans=spans)
