"""Sample number -> clip: draws source, video, start and crop, and replaces what is bad."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float64

from worldmodel_train.batch import Skip
from worldmodel_train.config.printable import printable
from worldmodel_train.data.augment import change_pictures, draw_crop
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.decoding.decode import (
    WITHOUT_ANSWER,
    ClipArray,
    ClipRequest,
    Decoded,
    DecodeError,
    Decoder,
)
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.data.health import shown
from worldmodel_train.data.labels import Label, label_reader
from worldmodel_train.data.mixture import Mixture
from worldmodel_train.data.mixture_by_length import MixtureByLength, SpreadMixture
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.sample_reader import Drawn, SampleReader
from worldmodel_train.data.shards.source import EncodedSample, SampleError, Source
from worldmodel_train.data.source_config import SourceConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One training sample and the bad ones met on the way to it."""

    sample: int
    source: int
    key: str
    times: Float64[np.ndarray, "t"]
    """Seconds from its video's first picture to each of its own."""
    label: Label | None
    """The number of its class, or which classes it has, where labels are read."""
    skipped: tuple[Skip, ...] = ()


class ClipReader:
    """Clips of a mixture; each is a function of (seed, sample number) where sources can seek.

    With several clips per video the mixture draws videos: g is of video g // clips_per_video,
    and has a start and a crop of its own.
    """

    def __init__(
        self, data: DataConfig, sources: Sequence[Source], decoder: Decoder, *, seed: int
    ) -> None:
        self._data = data
        self._decoder = decoder
        self._seed = seed
        self._labels = None if data.classes is None else label_reader(data.classes, data.labels)
        self._by_length = _mixture(data, seed)
        self._samples = SampleReader(
            data.sources, data.loader, sources, seed=seed, mixture=self._by_length
        )

    def videos(self, samples: range) -> list[int]:
        """The first samples of the videos of a micro-batch.

        They are the first of each that share a video; where micro-batches are as large as the
        length of their clips allows, there are more or fewer, with numbers of their own.
        """
        each = self._data.loader.clips_per_video
        assert len(samples) % each == 0
        if isinstance(self._data.of_one_length, int):
            return list(samples[::each])
        assert self._by_length is not None
        return [video * each for video in self._by_length.samples(samples.start // len(samples))]

    def num_frames(self, sample: int) -> int:
        """Pictures of a sample's clip."""
        video = sample // self._data.loader.clips_per_video
        return self._data.sources[self._samples.source_of(video)].clip.frames

    def read(self, sample: int, frames: Sequence[ClipArray]) -> list[Clip]:
        """The clips of the video that `sample` and those behind it share, written into `frames`.

        Raises BadDataError if no replacement is good either.
        """
        clips = self._data.loader.clips_per_video
        video, place = divmod(sample, clips)
        assert place == 0, (sample, clips)

        def cut(drawn: Drawn) -> list[Clip]:
            source, attempt, encoded = drawn.source, drawn.attempt, drawn.read()
            label = self._labels.label(encoded) if self._labels else None
            config = self._data.sources[source]
            requests = [self.request(config, sample + i, attempt) for i in range(clips)]
            decoded = decode_sample(self._decoder, encoded, requests, frames)
            for number, clip in enumerate(frames, start=sample):
                rng = generator(Stream.AUGMENT, self._seed, number, attempt)
                change_pictures(self._data.augment, clip, rng)
            return [
                Clip(sample=sample + i, source=source, key=encoded.key, times=times, label=label)
                for i, times in enumerate(decoded.times)
            ]

        made, skipped = self._samples.read(video, cut)
        return [replace(clip, skipped=skipped) for clip in made]

    def request(self, source: SourceConfig, sample: int, attempt: int) -> ClipRequest:
        """Start and crop of a sample, drawn before its video is opened."""
        rng = generator(Stream.CLIP, self._seed, sample, attempt)
        start = float(rng.random())
        as_published = source.protocol == "vjepa2"
        resampling = "bilinear" if as_published else "antialiased"
        crop = draw_crop(self._data.augment, rng, resampling)
        steps = FrameSteps(step=source.clip.frame_step) if as_published else None
        return ClipRequest(
            frames=source.clip.frames,
            fps=source.clip.fps,
            start=start,
            size=self._data.augment.frame_size,
            crop=crop,
            max_pixels=self._data.decoder.max_pixels,
            steps=steps,
        )


def decode_sample(
    decoder: Decoder,
    encoded: EncodedSample,
    requests: Sequence[ClipRequest],
    frames: Sequence[ClipArray],
) -> Decoded:
    """Fills `frames` from the sample's video; raises SampleError."""
    try:
        return decoder.decode_into(encoded.video, requests, frames)
    except DecodeError as error:
        skip = Skip(error.reason, encoded.shard, encoded.key)
        if error.reason in WITHOUT_ANSWER:  # each costs seconds or minutes: name them all
            _log.warning("skipped %s (%s)", shown(skip), printable(error.detail))
        raise SampleError(skip) from error


def _mixture(data: DataConfig, seed: int) -> MixtureByLength | None:
    """How videos of several lengths are mixed, where not each by itself.

    By turns a process that makes every other micro-batch would have one length alone, and of a
    stream of the other its share of the shards would never be read: there lengths are drawn.
    """
    if data.of_one_length == 1:
        return None
    drawn = any(source.streams for source in data.sources)
    return MixtureByLength(
        [source.weight for source in data.sources],
        [source.clip.frames for source in data.sources],
        together=data.lengths.by_length(),
        of_runs=partial(Mixture, seed=seed) if drawn else SpreadMixture,
        seed=seed,
    )
