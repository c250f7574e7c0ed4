"""Sample number -> clip: draws source, video, start and crop, and replaces what is bad."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from worldmodel_train.config.printable import printable
from worldmodel_train.data.augment import draw_crop
from worldmodel_train.data.config import DataConfig, SourceConfig
from worldmodel_train.data.decoding.decode import (
    WITHOUT_ANSWER,
    ClipArray,
    ClipRequest,
    Decoded,
    DecodeError,
    Decoder,
)
from worldmodel_train.data.health import AWAY, MIN_SEEN, BadDataError, DataAwayError, shown
from worldmodel_train.data.labels import ClassNumbers
from worldmodel_train.data.mixture import Mixture
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.remedies import remedy
from worldmodel_train.data.shards.source import EncodedSample, SampleError, Source
from worldmodel_train.types import Skip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One training sample and the bad ones met on the way to it."""

    sample: int
    source: int
    key: str
    times: Float64[np.ndarray, "t"]
    """Seconds from its video's first picture to each of its own."""
    label: int | None
    """The number of its class, where labels are read."""
    skipped: tuple[Skip, ...]


class ClipReader:
    """Clips of a mixture; each is a function of (seed, sample number) where sources can seek.

    With several clips per video the mixture draws videos: g is of video g // clips_per_video,
    and has a start and a crop of its own.
    """

    def __init__(
        self, data: DataConfig, sources: Sequence[Source], decoder: Decoder, *, seed: int
    ) -> None:
        self._data = data
        self._sources = sources
        self._decoder = decoder
        self._seed = seed
        self._mixture = Mixture([source.weight for source in data.sources], seed)
        self._classes = None if data.classes is None else ClassNumbers(data.classes)
        self._num_good = self._num_bad = 0  # samples of this process

    def num_frames(self, sample: int) -> int:
        """Pictures of a sample's clip."""
        video = sample // self._data.loader.clips_per_video
        return self._data.sources[self._mixture.draw(video).source].clip.frames

    def read(self, sample: int, frames: Sequence[ClipArray]) -> list[Clip]:
        """The clips of the video that `sample` and those behind it share, written into `frames`.

        Raises BadDataError if no replacement is good either.
        """
        clips = self._data.loader.clips_per_video
        video, place = divmod(sample, clips)
        assert place == 0, (sample, clips)
        source, position = self._mixture.draw(video)
        config = self._data.sources[source]
        skipped: list[Skip] = []
        while True:
            attempt = len(skipped)
            try:
                encoded = self._sources[source].read(position, attempt)
                label = self._classes and self._classes.number_of(encoded)
                requests = [self.request(config, sample + i, attempt) for i in range(clips)]
                decoded = self._decode(encoded, requests, frames)
            except SampleError as error:
                skipped.append(error.skip)
                self._num_bad += 1
                self._require_hope(config, skipped)
                continue
            self._num_good += 1
            return [
                Clip(
                    sample=sample + i,
                    source=source,
                    key=encoded.key,
                    times=times,
                    label=label,
                    skipped=tuple(skipped),
                )
                for i, times in enumerate(decoded.times)
            ]

    def _decode(
        self, encoded: EncodedSample, requests: Sequence[ClipRequest], frames: Sequence[ClipArray]
    ) -> Decoded:
        """Fills `frames`; raises SampleError."""
        try:
            return self._decoder.decode_into(encoded.video, requests, frames)
        except DecodeError as error:
            skip = Skip(error.reason, encoded.shard, encoded.key)
            if error.reason in WITHOUT_ANSWER:  # each costs seconds or minutes: name them all
                _log.warning("skipped %s (%s)", shown(skip), printable(error.detail))
            raise SampleError(skip) from error

    def _require_hope(self, source: SourceConfig, skipped: Sequence[Skip]) -> None:
        """Raises BadDataError where it makes no sense to try yet another sample.

        A stream has its bad samples side by side, so that many in a row say nothing: there the
        share of bad ones decides, as for the run, among what this process has seen.
        """
        most = self._data.loader.max_attempts
        if len(skipped) < most:
            return
        away = all(skip.reason in AWAY for skip in skipped[-most:])
        seen = self._num_good + self._num_bad
        bad = self._num_bad > seen * self._data.loader.max_bad_share or not self._num_good
        if source.streams and not away and not (seen >= MIN_SEEN and bad):
            return
        raise (DataAwayError if away else BadDataError)(
            f"{len(skipped)} samples of source '{source.name}' in a row are bad "
            f"(data.loader.max_attempts); the last is {shown(skipped[-1])}. "
            + ("Is it away?" if away else remedy(Counter(skip.reason for skip in skipped)))
        )

    def request(self, source: SourceConfig, sample: int, attempt: int) -> ClipRequest:
        """Start and crop of a sample, drawn before its video is opened."""
        rng = generator(Stream.CLIP, self._seed, sample, attempt)
        start = float(rng.random())
        return ClipRequest(
            frames=source.clip.frames,
            fps=source.clip.fps,
            start=start,
            size=self._data.augment.size,
            crop=draw_crop(self._data.augment, rng),
            max_pixels=self._data.decoder.max_pixels,
        )
