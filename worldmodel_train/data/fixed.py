"""Clips that are the same on every call, in shard order: for pictures and evaluation."""

import logging
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.decoding.decode import (
    WITHOUT_ANSWER,
    ClipRequest,
    Decoded,
    DecodeError,
    Decoder,
)
from worldmodel_train.data.decoding.decode_ahead import decode_ahead
from worldmodel_train.data.health import counted, shown
from worldmodel_train.data.labels import Label, LabelReader, label_text, stack_labels
from worldmodel_train.data.remedies import remedy
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS
from worldmodel_train.data.source_config import SourceConfig
from worldmodel_train.data.views import ViewGrid, view_requests
from worldmodel_train.facts import FrameSize
from worldmodel_train.types import Clips

_log = logging.getLogger(__name__)

_MOST_LOST = 16  # videos; the decoder was waited for twice with each


@dataclass(frozen=True, kw_only=True)
class Views:
    """What is shown of one video: of each segment, one after the other, its crops."""

    clips: UInt8[Tensor, "v t h w c"]
    times: Float[Tensor, "v t"]
    """Seconds from the video's first picture to each of these."""
    number: int
    """Which of the source's samples it is, in the order of its shards."""
    key: str
    label: str | None
    """What its json names."""
    class_number: Label | None
    """The number of the label, or which classes it has, where the classes are known."""


@dataclass(frozen=True, kw_only=True)
class FixedClips:
    """Clips, the key of each one's video, and the label its json names, if any."""

    clips: UInt8[Tensor, "b t h w c"]
    keys: tuple[str, ...]
    labels: tuple[str | None, ...]
    skipped: tuple[Skip, ...]
    times: Float[Tensor, "b t"] | None = None
    """Seconds from the first picture of a clip's video to each of the clip's."""
    class_numbers: Int64[Tensor, "b"] | Bool[Tensor, "b classes"] | None = None
    """The numbers of the labels, or which classes each has, where the classes are known."""
    length_index: int = 0
    """Which of the clip lengths that are trained on is theirs, or nearest."""

    def as_read(self) -> Clips:
        """The clips as a loader would give them."""
        return Clips(
            pixels=self.clips,
            samples=tuple(range(len(self.clips))),
            length_index=self.length_index,
            labels=self.class_numbers,
            times=self.times,
        )

    def as_videos(self, *, first: int, every: int) -> Iterator[Views]:
        """Of the clips from `first` on each `every`-th, as a video of its own that is seen once."""
        assert self.times is not None, "clips whose times are known"
        known = self.class_numbers
        assert known is not None, "clips whose classes are known"
        assert known.dim() == 1, "of one class each"
        for number in range(first, len(self.clips), every):
            yield Views(
                clips=self.clips[number][None],
                times=self.times[number][None],
                number=number,
                key=self.keys[number],
                label=self.labels[number],
                class_number=int(known[number]),
            )


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which of a source's samples are read: those numbered first, first + every ..."""

    first: int = 0
    every: int = 1
    processes: int = 0
    """That decode at once; with 0 of them one, when a video is asked for."""


WHOLE = Share()


def each_video(
    source: SourceConfig,
    *,
    size: FrameSize,
    decoder: DecoderConfig,
    views: ViewGrid,
    labels: LabelReader | None = None,
    share: Share = WHOLE,
) -> Generator[Views | Skip, None, None]:
    """The views of each video in the order of the shards.

    While one is looked at, as many more are in memory as processes decode. A bad sample is a Skip
    in its place; with `labels`, one that has none of their classes is bad. Raises ValueError where
    the source is a stream, or the decoder was waited for too often.
    """
    if source.streams:
        raise ValueError(
            f"data: source '{source.name}' is a stream; fixed clips need shards on a file system"
        )
    shards = ShardSet(resolve_shards(source))
    requests = view_requests(source, size, views, max_pixels=decoder.max_pixels)
    chosen = range(share.first, len(shards), share.every)
    read = (_read(shards, number, labels) for number in chosen)
    show = partial(_views, requests=requests)
    lost: list[Skip] = []
    processes = min(share.processes, len(chosen))
    with closing(decode_ahead(read, show, decoder, processes=processes)) as videos:
        for video in videos:
            yield video
            if isinstance(video, Skip) and video.reason in WITHOUT_ANSWER:
                lost.append(video)
                _require_answers(source.name, lost)


@dataclass(frozen=True, kw_only=True)
class _Encoded:
    """A video as it was read, and what is known of it before it is decoded."""

    sample: EncodedSample
    number: int
    label: str | None
    class_number: Label | None


def _read(shards: ShardSet, number: int, labels: LabelReader | None) -> _Encoded | Skip:
    try:
        sample = shards.sample(number, DESCRIBED_VIDEOS)
        class_number = None if labels is None else labels.label(sample)
        label = label_text(sample)
    except SampleError as error:
        return error.skip
    return _Encoded(sample=sample, number=number, label=label, class_number=class_number)


def _views(
    decoder: Decoder, read: _Encoded | Skip, *, requests: Sequence[ClipRequest]
) -> Views | Skip:
    if isinstance(read, Skip):
        return read
    try:
        clips, decoded = _clips(decoder, read.sample, requests)
    except SampleError as error:
        return error.skip
    return Views(
        clips=torch.from_numpy(clips),
        times=torch.from_numpy(np.stack(decoded.times).astype(np.float32)),
        number=read.number,
        key=read.sample.key,
        label=read.label,
        class_number=read.class_number,
    )


def load_clips(
    source: SourceConfig,
    *,
    size: FrameSize,
    limit: int,
    decoder: DecoderConfig,
    clips_per_video: int = 1,
    labels: LabelReader | None = None,
) -> FixedClips:
    """Up to `limit` centre-cropped clips, the same on every call; bad samples are left out.

    Clips of one video follow each other, their starts spread evenly over it. With `labels`, a
    sample that has none of their classes is bad. Raises ValueError if no video can be used.
    """
    views = ViewGrid(segments=clips_per_video)
    videos = each_video(source, size=size, decoder=decoder, views=views, labels=labels)
    found, skipped = _collected(videos, limit)
    for skip in skipped:
        _log.warning("skipped %s", shown(skip))
    if not found:
        reasons = Counter(skip.reason for skip in skipped)
        counts = counted(reasons) or "it is empty"
        raise ValueError(
            f"data: source '{source.name}' has no video that can be used ({counts}). "
            f"{remedy(reasons)}"
        )
    owners = [video for video in found for _ in video.clips][:limit]
    numbers = [video.class_number for video in owners if video.class_number is not None]
    return FixedClips(
        clips=torch.cat([video.clips for video in found])[:limit],
        keys=tuple(video.key for video in owners),
        labels=tuple(video.label for video in owners),
        times=torch.cat([video.times for video in found])[:limit],
        class_numbers=stack_labels(numbers) if labels else None,
        skipped=tuple(skipped),
    )


def _collected(videos: Iterator[Views | Skip], limit: int) -> tuple[list[Views], list[Skip]]:
    """The videos until they have `limit` clips together, and the bad ones met on the way."""
    found: list[Views] = []
    skipped: list[Skip] = []
    num_clips = 0
    for video in videos:
        if isinstance(video, Skip):
            skipped.append(video)
            continue
        found.append(video)
        num_clips += len(video.clips)
        if num_clips >= limit:
            break
    return found, skipped


def _require_answers(source: str, lost: Sequence[Skip]) -> None:
    """Raises ValueError where waiting for the decoder has been in vain too often."""
    if len(lost) >= _MOST_LOST:
        reasons = Counter(skip.reason for skip in lost)
        raise ValueError(
            f"data: {len(lost)} videos of source '{source}' got no answer from the decoder "
            f"({counted(reasons)}); the last is {shown(lost[-1])}. {remedy(reasons)}"
        )


def _clips(
    decoder: Decoder, sample: EncodedSample, requests: Sequence[ClipRequest]
) -> tuple[UInt8[np.ndarray, "n t h w c"], Decoded]:
    """The clips of a sample, and what is known of them; raises SampleError."""
    clips = np.empty((len(requests), *requests[0].shape), dtype=np.uint8)
    try:
        decoded = decoder.decode_into(sample.video, requests, list(clips))
    except DecodeError as error:
        raise SampleError(Skip(error.reason, sample.shard, sample.key)) from error
    return clips, decoded
