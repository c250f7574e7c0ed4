"""Shards that can only be read from front to back: pipes, web servers, object stores."""

import logging
import random
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from worldmodel_train.data.shards.tar_members import MEMBER_LIMIT
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
            for item in _grouped(shard, _files(tar)):
                empty = False
                yield item
    except tarfile.ReadError as error:
        yield Skip("empty_shard" if "empty file" in str(error) else "truncated_shard", shard, "")
    except (tarfile.TarError, OSError, EOFError) as error:
        yield Skip("unreadable_shard", shard, str(error)[:200])
    else:
        if empty:
            yield Skip("empty_shard", shard, "")


def _open(shard: str) -> Any:  # noqa: ANN401  # webdataset's pipe is a file in all but type
    if shard.startswith("pipe:"):
        return gopen(shard)
    file_system, path = fsspec.core.url_to_fs(shard)
    return file_system.open(path, "rb")


def _files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        if not member.isreg():
            continue
        if member.size > MEMBER_LIMIT:
            raise tarfile.TarError(f"'{member.name}' claims {member.size} bytes")
        file = tar.extractfile(member)
        assert isinstance(file, BufferedIOBase)
        yield member.name, file.read()


def _grouped(shard: str, members: Iterable[tuple[str, bytes]]) -> Iterator[Item]:
    """Consecutive files of one key make a sample."""
    current, group = "", dict[str, bytes]()
    for name, content in members:
        sample_key, extension = split_name(name)
        if group and sample_key != current:
            yield _item(shard, current, group)
            group = {}
        current = sample_key
        group[extension] = content
    if group:
        yield _item(shard, current, group)


def _item(shard: str, sample_key: str, group: dict[str, bytes]) -> Item:
    video = next((group[extension] for extension in group if extension in VIDEO_EXTENSIONS), None)
    if video is None:
        return Skip("missing_video", shard, sample_key)
    if "json" not in group:
        return Skip("missing_json", shard, sample_key)
    return EncodedSample(key=sample_key, shard=shard, video=video)
