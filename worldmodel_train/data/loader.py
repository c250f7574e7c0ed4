"""Batches for training: samples of a mixture, prepared, in an order that can be resumed."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from worldmodel_train.data.batch_memory import BatchMemory, Parcel, Shape
from worldmodel_train.data.decoding.auto_decoder import decord_is_installed
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.feed import EmptyTensors, Feed, MicroBatchReader, ReadT
from worldmodel_train.data.mixture import block_counts
from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.stream_source import StreamLimits, StreamShare, StreamSource
from worldmodel_train.data.stream_positions import (
    StreamState,
    merge_streams,
    position_of,
    what_a_stream_repeats,
)
from worldmodel_train.data.worker_folder import remove_folder_as_an_orphan
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import Batch, ContentT, Origin, Skip, StreamMark

_log = logging.getLogger(__name__)

_IN_USE = 3  # batches that training holds beside those in the loader's queue


@dataclass(frozen=True, kw_only=True)
class LoaderPosition:
    """Which part of the run's order of samples this rank reads, and from which step on."""

    seed: int
    rank: int
    world_size: int
    micro_batch: int
    global_batch: int
    first_step: int
    """Optimizer step to start at; all that sources on a file system need to know."""
    streams: StreamState | None = None
    """Where streams go on; None for a run that begins."""

    def __post_init__(self) -> None:
        per_pass = self.micro_batch * self.world_size
        if self.global_batch % per_pass:
            below = self.global_batch - self.global_batch % per_pass
            raise ValueError(
                f"train.global_batch={self.global_batch} is not a multiple of micro_batch="
                f"{self.micro_batch} x {self.world_size} processes; use {max(below, per_pass)} "
                f"or {below + per_pass}"
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches per rank and optimizer step."""
        return self.global_batch // (self.micro_batch * self.world_size)

    def first_sample(self, micro_batch: int) -> int:
        """The first sample of this rank's `micro_batch`-th micro-batch, counted from step 0."""
        step, part = divmod(micro_batch, self.accumulation)
        place = part * self.world_size + self.rank
        return step * self.global_batch + place * self.micro_batch

    def micro_batches(self, worker: int, workers: int) -> Iterator[int]:
        """The numbers of the micro-batches that one of this rank's workers makes, forever."""
        return count(self.first_step * self.accumulation + worker, workers)


class MicroBatches(IterableDataset[Batch[ContentT]], Generic[ReadT, ContentT]):
    """Endless micro-batches of one rank; worker w of W makes every W-th of them."""

    def __init__(
        self,
        feed: Feed[ReadT],
        prepare: Preparation[ContentT, ReadT],
        position: LoaderPosition,
    ) -> None:
        self._feed = feed
        self._prepare = prepare
        self._position = position
        block_counts([source.weight for source in feed.sources])  # refuses impossible weights
        self._shards = [resolve_shards(source) for source in feed.sources]
        self._require_shards_for_all()
        self._starts = merge_streams([position.streams or {}])
        if position.rank == 0:
            self._tell_what_streams_repeat()
        # Indexed once, here; the workers get copies.
        self._indexed: dict[int, IndexedSource] = {
            i: IndexedSource(source.name, shards, seed=position.seed, number=i, wanted=feed.wanted)
            for i, (source, shards) in enumerate(zip(feed.sources, self._shards, strict=True))
            if not source.streams
        }

    def _require_shards_for_all(self) -> None:
        """Raises ValueError where a loading process would have no shard of a stream."""
        consumers = self._position.world_size * max(1, self._feed.loader.workers)
        for source, shards in zip(self._feed.sources, self._shards, strict=True):
            if source.streams and len(shards) < consumers:
                raise ValueError(
                    f"data: source '{source.name}' streams {len(shards)} shards to {consumers} "
                    f"loading processes; use at least {consumers} shards or fewer "
                    "data.loader.workers"
                )

    def _tell_what_streams_repeat(self) -> None:
        """Streams cannot go back to a sample: says, once, from where a resumed one goes on."""
        if not self._position.first_step:
            return
        for source, shards in zip(self._feed.sources, self._shards, strict=True):
            if source.streams:
                _log.warning(
                    "source '%s' is a stream and cannot return to step %d exactly: %s",
                    source.name,
                    self._position.first_step,
                    what_a_stream_repeats(self._starts, source.name, len(shards)),
                )

    def __iter__(self) -> Iterator[Batch[ContentT]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        with DecodeProcess(self._feed.decoder) as decoder, ExitStack() as stack:
            streams = {
                i: stack.enter_context(closing(self._stream(i, worker, workers)))
                for i, source in enumerate(self._feed.sources)
                if source.streams
            }
            sources = [streams.get(i) or self._indexed[i] for i in range(len(self._shards))]
            reader = self._feed.open_reader(sources, decoder, self._position.seed)
            empty = empty_tensors(self._feed.loader.prefetch)
            found = self._empty_shards() if worker == 0 and self._position.rank == 0 else ()
            for number in self._position.micro_batches(worker, workers):
                content, skipped = self._content(reader, number, empty)
                origin = Origin(
                    first_sample=self._position.first_sample(number),
                    skipped=found + skipped,
                    stream_marks=tuple(self._marks(streams)),
                )
                yield Batch(content=content, origin=origin)
                found = ()

    def _stream(self, number: int, worker: int, workers: int) -> StreamSource:
        shards = self._shards[number]
        share = StreamShare(
            consumer=self._position.rank * workers + worker,
            consumers=self._position.world_size * workers,
            seed=self._position.seed,
            start=position_of(self._starts, self._feed.sources[number].name, len(shards)),
        )
        limits = StreamLimits(
            shuffle_buffer=self._feed.loader.shuffle_buffer,
            timeout_s=self._feed.loader.stream_timeout_s,
            retry_s=self._feed.loader.stream_retry_s,
        )
        return StreamSource(shards, share, number=number, limits=limits, wanted=self._feed.wanted)

    def _marks(self, streams: Mapping[int, StreamSource]) -> Iterator[StreamMark]:
        for number, stream in streams.items():
            yield stream.mark(self._feed.sources[number].name)

    def _empty_shards(self) -> tuple[Skip, ...]:
        """Shards without samples, reported once, because no draw can ever meet them."""
        return tuple(
            Skip("empty_shard", shard, "")
            for source in self._indexed.values()
            for shard in source.empty_shards
        )

    def _content(
        self, reader: MicroBatchReader[ReadT], number: int, empty: EmptyTensors
    ) -> tuple[ContentT, tuple[Skip, ...]]:
        """What a micro-batch holds, and what was left out on the way to it."""
        first = self._position.first_sample(number)
        read, skipped = reader.read(range(first, first + self._position.micro_batch), empty)
        step = first // self._position.global_batch
        return self._prepare(read, seed=self._position.seed, step=step), skipped


def empty_tensors(prefetch: int) -> EmptyTensors:
    """Memory for the batches made here: in a loading process it is shared with training.

    It is enough for those in the queue, and those in use beyond it.
    """
    if get_worker_info() is None:
        return _private_tensors
    return BatchMemory(most=prefetch + _IN_USE).tensors


def _private_tensors(shapes: Sequence[Shape]) -> list[Tensor]:
    """Memory for what stays in this process."""
    return [torch.empty(shape, dtype=torch.uint8) for shape in shapes]


def build_loader(
    feed: Feed[ReadT], prepare: Preparation[ContentT, ReadT], *, position: LoaderPosition
) -> DataLoader[Batch[ContentT]]:
    """An endless loader of this rank's micro-batches, starting at `position.first_step`.

    Raises ValueError for missing shards and impossible sizes before any process is started.
    """
    if feed.decoder.name == "decord" and not decord_is_installed():
        raise ValueError("data.decoder.name=decord, but decord is not installed; use auto or pyav")
    batches = MicroBatches(feed, prepare, position)
    loader = feed.loader
    return in_workers(batches, workers=loader.workers, prefetch=loader.prefetch, pack=Parcel)


def in_workers(
    batches: IterableDataset[Batch[ContentT]],
    *,
    workers: int,
    prefetch: int,
    pack: Callable[[Any], Any] | None = None,
) -> DataLoader[Batch[ContentT]]:
    """A loader of batches that are made in `workers` processes, or here; `pack` is how they travel.

    A `Parcel` is for batches in memory that the maker asked `BatchMemory` for.
    """
    return DataLoader(
        batches,
        batch_size=None,
        # without batching it is given one item, and not a list as its type says
        collate_fn=pack if workers else None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each new iterator draws from the model's own generator
        worker_init_fn=_begin_as_a_fork,
    )


def _begin_as_a_fork(worker: int) -> None:
    """Takes what a forked worker inherits out of its garbage collection, and cleans up at its end.

    Finalisers that belong to the parent (of a decord reader, say, whose threads a fork does not
    have) would crash or hang here; and pages that the collector leaves alone stay shared.
    """
    del worker
    gc.freeze()
    remove_folder_as_an_orphan()
