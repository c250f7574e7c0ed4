"""Batches for training: samples of a mixture, prepared, in an order that can be resumed."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager

from torch.utils.data import DataLoader

from worldmodel_train.batch import Batch, Origin, Skip, StreamMark
from worldmodel_train.data.batch_memory import Parcel
from worldmodel_train.data.decoding.auto_decoder import decord_is_installed
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.feed import Feed, ReadT
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.mixture import block_counts
from worldmodel_train.data.rank_batches import RankBatches, ReadSamples, empty_tensors, in_workers
from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.stream_source import StreamLimits, StreamShare, StreamSource
from worldmodel_train.data.stream_positions import (
    merge_streams,
    position_of,
    what_a_stream_repeats,
)
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import ContentT

_log = logging.getLogger(__name__)


class MicroBatches(RankBatches[ReadT, ContentT]):
    """Micro-batches of a mixture of sources."""

    def __init__(
        self,
        feed: Feed[ReadT],
        prepare: Preparation[ContentT, ReadT],
        position: LoaderPosition,
    ) -> None:
        super().__init__(prepare, position)
        self._feed = feed
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

    @contextmanager
    def opened(self, worker: int, workers: int) -> Iterator[ReadSamples[ReadT]]:
        """Reads from the sources, with a decoding process and this worker's share of streams."""
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

            def read(samples: range) -> tuple[Sequence[ReadT], Origin]:
                nonlocal found
                parts, skipped = reader.read(samples, empty)
                marks = tuple(self._marks(streams))
                origin = Origin(
                    first_sample=samples.start, skipped=found + skipped, stream_marks=marks
                )
                found = ()
                return parts, origin

            yield read

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
