"""Shards that can only be read from front to back: pipes, web servers, object stores."""

import logging
import random
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import count

from worldmodel_train.batch import Skip, StreamMark
from worldmodel_train.data.health import shown
from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, key
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_samples import Item, stream_samples
from worldmodel_train.data.shards.stream_shuffle import Shuffled
from worldmodel_train.data.shards.wanted_files import VIDEOS, WantedFiles
from worldmodel_train.data.stream_positions import StreamPosition

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StreamShare:
    """Which of all loading processes reads, and where the stream goes on."""

    consumer: int
    consumers: int
    seed: int
    start: StreamPosition


@dataclass(frozen=True, kw_only=True)
class StreamLimits:
    """What may be held of a stream, and how long it is waited for."""

    shuffle_buffer: int
    timeout_s: float
    retry_s: float


class StreamSource:
    """One loading process's share of a stream, epoch after epoch.

    Each epoch's order of shards is a function of seed and epoch alone. The orders of all epochs
    behind each other are dealt to the processes like cards, without those already read.
    """

    def __init__(
        self,
        shards: Sequence[str],
        share: StreamShare,
        *,
        number: int,
        limits: StreamLimits,
        wanted: WantedFiles = VIDEOS,
    ) -> None:
        assert share.start.shards == len(shards)
        self._shards = shards
        self._share = share
        self._number = number
        self._wanted = wanted
        self._timeout_s = limits.timeout_s
        self._outages = Outages(limits.retry_s)
        self._num_lost = 0
        self._progress = _Progress()
        self._unshuffled = self._endless()
        seed = key(Stream.BUFFER, share.seed, number, share.consumer, share.start.first)
        self._items = iter(Shuffled(self._unshuffled, limits.shuffle_buffer, random.Random(seed)))

    def mark(self, source: str) -> StreamMark:
        """How many of its shards, from the first on, this process has given out whole."""
        return StreamMark(
            source=source,
            shards=len(self._shards),
            consumer=self._share.consumer,
            consumers=self._share.consumers,
            finished=self._progress.finished,
        )

    def shard(self, turn: int) -> str:
        """The shard that this process reads in its `turn`-th turn."""
        share = self._share
        epoch, place = divmod(
            share.start.number(share.consumer + turn * share.consumers), len(self._shards)
        )
        order = Permutation(len(self._shards), key(Stream.SHARDS, share.seed, self._number, epoch))
        return self._shards[order(place)]

    def read(self, position: int, attempt: int) -> EncodedSample:
        """The stream's next sample, whatever the position; raises SampleError."""
        turn, item = next(self._items)
        self._progress.leave(turn)
        if isinstance(item, Skip):
            raise SampleError(item)
        return item

    def number_at(self, position: int, attempt: int) -> None:
        """What comes next is not known before it is read."""

    def close(self) -> None:
        """Close the open shard; a command that writes it is killed."""
        self._unshuffled.close()

    def _endless(self) -> Generator[tuple[int, Item], None, None]:
        for turn in count():
            shard = self.shard(turn)
            for item in stream_samples(shard, self._timeout_s, self._outages, self._wanted):
                self._progress.enter(turn)
                if isinstance(item, Skip) and item.reason.endswith("_shard"):
                    self._tell(item)
                yield turn, item
            self._progress.end(turn)

    def _tell(self, lost: Skip) -> None:
        """Logs that a shard, or its rest, is lost; not each, as the counts say how many."""
        self._num_lost += 1
        if self._num_lost & (self._num_lost - 1) == 0:  # 1, 2, 4, 8 ...
            _log.warning("lost %s; %d so far in this process", shown(lost), self._num_lost)


class _Progress:
    """Counts the shards whose samples have all left the shuffle buffer."""

    def __init__(self) -> None:
        self.finished = 0
        self._inside = Counter[int]()
        self._ended = 0  # shards read to their end

    def enter(self, turn: int) -> None:
        self._inside[turn] += 1

    def leave(self, turn: int) -> None:
        self._inside[turn] -= 1
        self._advance()

    def end(self, turn: int) -> None:
        self._ended = turn + 1
        self._advance()

    def _advance(self) -> None:
        while self.finished < self._ended and not self._inside[self.finished]:
            del self._inside[self.finished]
            self.finished += 1
