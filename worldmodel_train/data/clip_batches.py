"""The clips of a micro-batch, grouped by length."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.data.clip_reader import Clip, ClipReader
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.decoding.decode import Decoder
from worldmodel_train.data.feed import EmptyTensors, Feed
from worldmodel_train.data.labels import stack_labels
from worldmodel_train.data.shards.source import Source
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS, VIDEOS
from worldmodel_train.types import Clips


def clip_feed(data: DataConfig) -> Feed[Clips]:
    """How the clips of a recipe are loaded."""
    return Feed(
        sources=data.sources,
        loader=data.loader,
        decoder=data.decoder,
        wanted=VIDEOS if data.classes is None else DESCRIBED_VIDEOS,
        open_reader=partial(_open, data),
    )


def _open(
    data: DataConfig, sources: Sequence[Source], decoder: Decoder, seed: int
) -> "ClipBatches":
    return ClipBatches(data, ClipReader(data, sources, decoder, seed=seed))


class ClipBatches:
    """A `MicroBatchReader` of clips."""

    def __init__(self, data: DataConfig, reader: ClipReader) -> None:
        self._data = data
        self._reader = reader

    def read(self, samples: range, empty: EmptyTensors) -> tuple[Sequence[Clips], tuple[Skip, ...]]:
        """The clips of these samples, those of one length together, and what was left out."""
        size, each = self._data.augment.frame_size, self._data.loader.clips_per_video
        by_length: dict[int, list[int]] = {}
        for video in self._reader.videos(samples):
            by_length.setdefault(self._reader.num_frames(video), []).append(video)
        lengths = sorted(by_length)
        frames = empty([(len(by_length[n]) * each, n, *size, 3) for n in lengths])
        made = [
            self._read(clips, by_length[length])
            for length, clips in zip(lengths, frames, strict=True)
        ]
        return [clips for clips, _ in made], tuple(s for _, skipped in made for s in skipped)

    def _read(
        self, frames: UInt8[Tensor, "b t h w c"], videos: Sequence[int]
    ) -> tuple[Clips, tuple[Skip, ...]]:
        """The clips of the videos that begin with these samples, all of one length."""
        rows = rearrange(frames.numpy(), "(v each) t h w c -> v each t h w c", v=len(videos))
        clips = [
            clip
            for video, row in zip(videos, rows, strict=True)
            for clip in self._reader.read(video, list(row))
        ]
        read = Clips(
            pixels=frames,
            samples=tuple(clip.sample for clip in clips),
            length_index=self._data.length_index(frames.shape[1]),
            labels=_labels(clips),
            times=torch.from_numpy(np.stack([clip.times for clip in clips]).astype(np.float32)),
        )
        return read, tuple(skip for clip in clips for skip in clip.skipped)


def _labels(clips: Sequence[Clip]) -> Int64[Tensor, "b"] | Bool[Tensor, "b classes"] | None:
    """The numbers of the clips' classes, or which classes they have, if labels are read."""
    labels = [clip.label for clip in clips if clip.label is not None]
    assert len(labels) in (0, len(clips)), "all have a label, or none"
    return stack_labels(labels) if labels else None
