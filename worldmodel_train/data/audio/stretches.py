"""Stretches of recordings, cut where they are read."""

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.config.printable import printable
from worldmodel_train.data.audio.config import AudioConfig
from worldmodel_train.data.decoding.decode import WITHOUT_ANSWER, DecodeError, Decoder
from worldmodel_train.data.decoding.sound import SoundDecoder, SoundRequest
from worldmodel_train.data.feed import EmptyTensors, Feed
from worldmodel_train.data.health import shown
from worldmodel_train.data.labels import Label, label_reader, stack_labels
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.sample_reader import Drawn, SampleReader
from worldmodel_train.data.shards.source import EncodedSample, SampleError, Source
from worldmodel_train.data.shards.wanted_files import (
    AUDIO,
    DESCRIBED_RECORDINGS,
    RECORDINGS,
    WantedFiles,
)
from worldmodel_train.types import Audio

_log = logging.getLogger(__name__)

Heard = tuple[int, Label | None]
"""Samples of a stretch that were recorded, and its label where labels are read."""


def wanted_files(config: AudioConfig) -> WantedFiles:
    """What is read of each sample: its json only where it has a label to say."""
    return RECORDINGS if config.classes is None else DESCRIBED_RECORDINGS


def stretch_feed(config: AudioConfig) -> Feed[Audio]:
    """How the stretches of a recipe are loaded."""
    return Feed(
        sources=config.sources,
        loader=config.loader,
        decoder=config.decoder,
        wanted=wanted_files(config),
        open_reader=partial(_open, config),
    )


class Cutter:
    """Cuts stretches out of recordings."""

    def __init__(self, config: AudioConfig, decoder: SoundDecoder) -> None:
        self._config = config
        self._decoder = decoder
        classes = config.classes
        self._labels = None if classes is None else label_reader(classes, config.labels)

    def cut(self, sample: EncodedSample, start: float, row: Float32[np.ndarray, "s"]) -> Heard:
        """Fills `row` from a share `start` of the places for it; raises SampleError."""
        label = self._labels.label(sample) if self._labels else None
        request = SoundRequest(
            rate=self._config.rate,
            samples=self._config.samples,
            start=start,
            max_seconds=self._config.max_seconds,
        )
        try:
            return self._decoder.decode_sound(sample.files[AUDIO], request, row), label
        except DecodeError as error:
            skip = Skip(error.reason, sample.shard, sample.key)
            if error.reason in WITHOUT_ANSWER:  # each costs seconds or minutes: name them all
                _log.warning("skipped %s (%s)", shown(skip), printable(error.detail))
            raise SampleError(skip) from error


class Stretches:
    """A `MicroBatchReader` of stretches; each is a function of (seed, sample number)."""

    def __init__(self, cutter: Cutter, samples: SampleReader, *, length: int, seed: int) -> None:
        self._cutter = cutter
        self._samples = samples
        self._length = length
        self._seed = seed

    def read(self, samples: range, empty: EmptyTensors) -> tuple[Sequence[Audio], tuple[Skip, ...]]:
        """The stretches of these samples, and what was left out."""
        (memory,) = empty([(len(samples), self._length * torch.float32.itemsize)])
        waveform = memory.view(torch.float32)
        read = [
            self._samples.read(number, partial(self._cut, number, row))
            for number, row in zip(samples, waveform.numpy(), strict=True)
        ]
        heard = stacked(waveform, [one for one, _ in read], samples)
        return [heard], tuple(skip for _, skipped in read for skip in skipped)

    def _cut(self, number: int, row: Float32[np.ndarray, "s"], drawn: Drawn) -> Heard:
        rng = generator(Stream.CLIP, self._seed, number, drawn.attempt)
        return self._cutter.cut(drawn.read(), float(rng.random()), row)


def stacked(waveform: Tensor, heard: Sequence[Heard], samples: Sequence[int]) -> Audio:
    """The stretches as one."""
    labels = [label for _, label in heard if label is not None]
    assert len(labels) in (0, len(heard)), "all have a label, or none"
    return Audio(
        waveform=waveform,
        heard=torch.tensor([length for length, _ in heard]),
        labels=stack_labels(labels) if labels else None,
        samples=tuple(samples),
    )


def _open(config: AudioConfig, sources: Sequence[Source], decoder: Decoder, seed: int) -> Stretches:
    assert isinstance(decoder, SoundDecoder), "the loader's decoding process decodes both"
    samples = SampleReader(config.sources, config.loader, sources, seed=seed)
    return Stretches(Cutter(config, decoder), samples, length=config.samples, seed=seed)
