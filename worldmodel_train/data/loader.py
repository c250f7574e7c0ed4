"""Batches for training: clips of a mixture, prepared, in an order that can be resumed."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from worldmodel_train.data.batch_memory import BatchMemory, Parcel, Shape
from worldmodel_train.data.clip_reader import Clip, ClipReader
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.decoding.auto_decoder import decord_is_installed
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.mixture import block_counts
from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.stream_source import StreamLimits, StreamShare, StreamSource
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS, VIDEOS
from worldmodel_train.data.stream_positions import (
    StreamState,
    merge_streams,
    position_of,
    what_a_stream_repeats,
)
from worldmodel_train.data.worker_folder import remove_folder_as_an_orphan
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import Batch, Clips, ContentT, Origin, Skip, StreamMark

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


class MicroBatches(IterableDataset[Batch[ContentT]]):
    """Endless micro-batches of one rank; worker w of W makes every W-th of them."""

    def __init__(
        self, data: DataConfig, prepare: Preparation[ContentT], position: LoaderPosition
    ) -> None:
        self._data = data
        self._prepare = prepare
        self._position = position
        block_counts([source.weight for source in data.sources])  # refuses impossible weights
        self._shards = [resolve_shards(source) for source in data.sources]
        self._require_shards_for_all()
        assert position.micro_batch % data.loader.clips_per_video == 0
        self._starts = merge_streams([position.streams or {}])
        if position.rank == 0:
            self._tell_what_streams_repeat()
        self._wanted = VIDEOS if data.classes is None else DESCRIBED_VIDEOS
        # Indexed once, here; the workers get copies.
        self._indexed: dict[int, IndexedSource] = {
            i: IndexedSource(source.name, shards, seed=position.seed, number=i, wanted=self._wanted)
            for i, (source, shards) in enumerate(zip(data.sources, self._shards, strict=True))
            if not source.streams
        }

    def _require_shards_for_all(self) -> None:
        """Raises ValueError where a loading process would have no shard of a stream."""
        consumers = self._position.world_size * max(1, self._data.loader.workers)
        for source, shards in zip(self._data.sources, self._shards, strict=True):
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
        for source, shards in zip(self._data.sources, self._shards, strict=True):
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
        with DecodeProcess(self._data.decoder) as decoder, ExitStack() as stack:
            streams = {
                i: stack.enter_context(closing(self._stream(i, worker, workers)))
                for i, source in enumerate(self._data.sources)
                if source.streams
            }
            sources = [streams.get(i) or self._indexed[i] for i in range(len(self._shards))]
            reader = ClipReader(self._data, sources, decoder, seed=self._position.seed)
            empty_clips = _private_clips if info is None else self._memory().clips
            found = self._empty_shards() if worker == 0 and self._position.rank == 0 else ()
            for number in self._position.micro_batches(worker, workers):
                content, skipped = self._content(reader, number, empty_clips)
                origin = Origin(
                    first_sample=self._position.first_sample(number),
                    skipped=found + skipped,
                    stream_marks=tuple(self._marks(streams)),
                )
                yield Batch(content=content, origin=origin)
                found = ()

    def _memory(self) -> BatchMemory:
        """Memory of a loading process: for the batches in the queue, and those in use beyond it."""
        return BatchMemory(most=self._data.loader.prefetch + _IN_USE)

    def _stream(self, number: int, worker: int, workers: int) -> StreamSource:
        shards = self._shards[number]
        share = StreamShare(
            consumer=self._position.rank * workers + worker,
            consumers=self._position.world_size * workers,
            seed=self._position.seed,
            start=position_of(self._starts, self._data.sources[number].name, len(shards)),
        )
        limits = StreamLimits(
            shuffle_buffer=self._data.loader.shuffle_buffer,
            timeout_s=self._data.loader.stream_timeout_s,
            retry_s=self._data.loader.stream_retry_s,
        )
        return StreamSource(shards, share, number=number, limits=limits, wanted=self._wanted)

    def _marks(self, streams: Mapping[int, StreamSource]) -> Iterator[StreamMark]:
        for number, stream in streams.items():
            yield stream.mark(self._data.sources[number].name)

    def _empty_shards(self) -> tuple[Skip, ...]:
        """Shards without samples, reported once, because no draw can ever meet them."""
        return tuple(
            Skip("empty_shard", shard, "")
            for source in self._indexed.values()
            for shard in source.empty_shards
        )

    def _content(
        self,
        reader: ClipReader,
        number: int,
        empty_clips: Callable[[Sequence[Shape]], list[Tensor]],
    ) -> tuple[ContentT, tuple[Skip, ...]]:
        """What a micro-batch holds, and what was left out on the way to it."""
        first = self._position.first_sample(number)
        by_length: dict[int, list[int]] = {}
        for video in range(
            first, first + self._position.micro_batch, self._data.loader.clips_per_video
        ):
            by_length.setdefault(reader.num_frames(video), []).append(video)
        size, each = self._data.augment.size, self._data.loader.clips_per_video
        lengths = sorted(by_length)
        frames = empty_clips([(len(by_length[n]) * each, n, size, size, 3) for n in lengths])
        made = [
            self._read(reader, clips, by_length[length])
            for length, clips in zip(lengths, frames, strict=True)
        ]
        content = self._prepare(
            [clips for clips, _ in made],
            seed=self._position.seed,
            step=first // self._position.global_batch,
        )
        return content, tuple(skip for _, skipped in made for skip in skipped)

    def _read(
        self, reader: ClipReader, frames: UInt8[Tensor, "b t h w c"], videos: Sequence[int]
    ) -> tuple[Clips, tuple[Skip, ...]]:
        """The clips of the videos that begin with these samples, all of one length."""
        rows = rearrange(frames.numpy(), "(v each) t h w c -> v each t h w c", v=len(videos))
        clips = [
            clip
            for video, row in zip(videos, rows, strict=True)
            for clip in reader.read(video, list(row))
        ]
        read = Clips(
            pixels=frames,
            samples=tuple(clip.sample for clip in clips),
            length_index=self._data.length_index(frames.shape[1]),
            labels=_labels(clips),
            times=torch.from_numpy(np.stack([clip.times for clip in clips]).astype(np.float32)),
        )
        return read, tuple(skip for clip in clips for skip in clip.skipped)


def _labels(clips: Sequence[Clip]) -> Int64[Tensor, "b"] | None:
    """The numbers of the clips' classes, if they have any."""
    labels = [clip.label for clip in clips if clip.label is not None]
    assert len(labels) in (0, len(clips)), "all have a label, or none"
    return torch.tensor(labels) if labels else None


def _private_clips(shapes: Sequence[Shape]) -> list[Tensor]:
    """Memory for clips that stay in this process."""
    return [torch.empty(shape, dtype=torch.uint8) for shape in shapes]


def build_loader(
    data: DataConfig, prepare: Preparation[ContentT], *, position: LoaderPosition
) -> DataLoader[Batch[ContentT]]:
    """An endless loader of this rank's micro-batches, starting at `position.first_step`.

    Raises ValueError for missing shards and impossible sizes before any process is started.
    """
    if data.decoder.name == "decord" and not decord_is_installed():
        raise ValueError("data.decoder.name=decord, but decord is not installed; use auto or pyav")
    workers = data.loader.workers
    return DataLoader(
        MicroBatches(data, prepare, position),
        batch_size=None,
        # without batching it is given one item, and not a list as its type says
        collate_fn=Parcel if workers else None,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        prefetch_factor=data.loader.prefetch if workers else None,
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
