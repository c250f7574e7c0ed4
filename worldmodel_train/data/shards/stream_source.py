"""Shards that can only be read from front to back: pipes, web servers, object stores."""

import logging
import random
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any

import fsspec.core
import numpy as np
from webdataset.filters import shuffle
from webdataset.gopen import gopen

from worldmodel_train.data.order import Permutation
from worldmodel_train.data.random_streams import Stream, key
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.tar_index import VIDEO_EXTENSIONS, split_name
from worldmodel_train.data.video_files import MEMBER_LIMIT
from worldmodel_train.types import Skip

_log = logging.getLogger(__name__)

_FIRST_FILL = 100  # samples buffered before the first leaves; waiting for more delays the start

Item = EncodedSample | Skip


@dataclass(frozen=True, kw_only=True)
class StreamShare:
    """Which of all loading processes reads, and from which optimizer step on."""

    consumer: int
    consumers: int
    seed: int
    first_step: int


class StreamSource:
    """One loading process's share of a stream, epoch after epoch.

    Each epoch's shard order is drawn for all processes together and only then split, so that a
    process meets other shards every epoch. A stream cannot seek: after a resume it starts with an
    order drawn from the step, and samples of the broken-off epoch may come again.
    """

    def __init__(
        self, shards: Sequence[str], share: StreamShare, *, number: int, shuffle_buffer: int
    ) -> None:
        self._shards = tuple(shards)
        self._share = share
        self._number = number
        self._items = self._shuffled(shuffle_buffer)
        if share.first_step and share.consumer == 0:
            _log.warning(
                "source %d is a stream and cannot return to step %d: it starts anew with a shard "
                "order drawn from that step",
                number,
                share.first_step,
            )

    def shards_of_epoch(self, epoch: int) -> tuple[str, ...]:
        """The shards that this process reads in an epoch, in order."""
        share, size = self._share, len(self._shards)
        order_key = key(Stream.SHARDS, share.seed, self._number, epoch, share.first_step)
        order = Permutation(size, order_key).many(np.arange(size))
        return tuple(self._shards[i] for i in order[share.consumer :: share.consumers])

    def read(self, position: int, attempt: int) -> EncodedSample:
        """The stream's next sample, whatever the position; raises SampleError."""
        item = next(self._items)
        if isinstance(item, Skip):
            raise SampleError(item)
        return item

    def _shuffled(self, buffer: int) -> Iterator[Item]:
        share = self._share
        seed = key(Stream.BUFFER, share.seed, self._number, share.consumer, share.first_step)
        mix = shuffle(buffer, initial=_FIRST_FILL, rng=random.Random(seed))
        return iter(mix(self._endless()))

    def _endless(self) -> Iterator[Item]:
        epoch = 0
        while True:
            for shard in self.shards_of_epoch(epoch):
                yield from stream_samples(shard)
            epoch += 1


def stream_samples(shard: str) -> Iterator[Item]:
    """The samples of one streamed tar, the bad ones as Skip; never raises for a bad shard."""
    empty = True
    try:
        with _open(shard) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for item in _grouped(shard, tar):
                empty = False
                yield item
    except tarfile.ReadError as error:
        yield Skip("empty_shard" if "empty file" in str(error) else "truncated_shard", shard, "")
    except (tarfile.TarError, OSError, EOFError, subprocess.TimeoutExpired) as error:
        yield Skip("unreadable_shard", shard, str(error)[:200])
    else:
        if empty:
            yield Skip("empty_shard", shard, "")


def _open(shard: str) -> Any:  # noqa: ANN401  # webdataset's pipe is a file in all but type
    if shard.startswith("pipe:"):
        return gopen(shard)
    file_system, path = fsspec.core.url_to_fs(shard)
    return file_system.open(path, "rb")


@dataclass
class _Group:
    """The consecutive files of one key; together no larger than one video may be."""

    key: str
    room: int
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> None:
        if extension != "json" and extension not in VIDEO_EXTENSIONS:
            return
        self.room -= member.size
        if self.room < 0:
            return
        file = tar.extractfile(member)
        assert isinstance(file, BufferedIOBase)
        self.files[extension] = file.read()

    def item(self, shard: str) -> Item:
        if self.room < 0:
            return Skip("too_large", shard, self.key)
        video = next((self.files[e] for e in self.files if e in VIDEO_EXTENSIONS), None)
        if video is None:
            return Skip("missing_video", shard, self.key)
        if "json" not in self.files:
            return Skip("missing_json", shard, self.key)
        return EncodedSample(key=self.key, shard=shard, video=video)


def _grouped(shard: str, tar: tarfile.TarFile) -> Iterator[Item]:
    """Consecutive files of one key make a sample."""
    group: _Group | None = None
    for member in tar:
        if not member.isreg():
            continue
        sample_key, extension = split_name(member.name)
        if group is None or sample_key != group.key:
            if group is not None:
                yield group.item(shard)
            group = _Group(sample_key, room=MEMBER_LIMIT)
        group.add(tar, member, extension)
    if group is not None:
        yield group.item(shard)
