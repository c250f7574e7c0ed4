"""Sound out of a recording: one channel, at one rate, and of that a stretch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol, runtime_checkable

import av
import av.container
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from jaxtyping import Float32

from worldmodel_train.data.audio_files import AUDIO_CONTAINERS
from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.decoding.decode import DecodeError

_LOUDEST = 1e4  # times full scale; powers of it are far from the end of fp32


@dataclass(frozen=True, kw_only=True)
class SoundRequest:
    """The stretch wanted of a recording, in terms that need no knowledge of it."""

    rate: int
    """Samples a second."""
    samples: int
    start: float
    """Where it starts, in [0, 1): a share of the moments that leave room for it."""
    max_seconds: float
    """Longest recording that may be decoded."""


@runtime_checkable
class SoundDecoder(Protocol):
    """Decodes recordings of sound."""

    def decode_sound(
        self, recording: bytes, request: SoundRequest, sound: Float32[np.ndarray, "s"]
    ) -> int:
        """Fills `sound`; how many samples of it were recorded. Raises DecodeError."""
        ...


def decode_sound(recording: bytes, request: SoundRequest, sound: Float32[np.ndarray, "s"]) -> int:
    """Fills `sound`, with zeros behind what was recorded; how many samples were.

    All of the recording is decoded: only then is it known how long it is, and whether it can be.
    """
    whole = _whole(recording, request)
    room = max(0, len(whole) - len(sound))
    first = int(request.start * (room + 1))
    stretch = whole[first : first + len(sound)]
    if not (np.abs(stretch) <= _LOUDEST).all():  # false of what is no number as well
        raise DecodeError("wild_samples", f"no numbers, or beyond {_LOUDEST:g} times full scale")
    sound[: len(stretch)] = stretch
    sound[len(stretch) :] = 0
    return len(stretch)


@contextmanager
def open_sound(
    recording: bytes,
) -> Iterator[tuple[av.container.InputContainer, AudioStream]]:
    """The container and its first stream of sound; PyAV's errors become DecodeError."""
    if not recording:
        raise DecodeError("empty_file")
    options = {"format_whitelist": AUDIO_CONTAINERS, "protocol_whitelist": "none"}
    try:
        file = BytesIO(recording)
        with av.open(file, mode="r", options=options, metadata_errors="ignore") as container:
            stream = container.streams.best("audio")
            if not isinstance(stream, AudioStream):
                raise DecodeError("no_audio_stream")
            stream.codec_context.thread_count = 1
            yield container, stream
    except MemoryError as error:
        raise DecodeError(OUT_OF_MEMORY, str(error)) from error
    # ValueError: frames of another rate or layout than the first
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise DecodeError("corrupt_audio", f"{type(error).__name__}: {error}") from error


def _whole(recording: bytes, request: SoundRequest) -> Float32[np.ndarray, "_"]:
    with open_sound(recording) as (container, stream):
        to_floats = AudioResampler(format="fltp")
        to_rate = AudioResampler(format="flt", layout="mono", rate=request.rate)
        parts = [
            piece.to_ndarray()[0]
            for frame in _within(container.decode(stream), request.max_seconds)
            for channels in to_floats.resample(frame)
            for piece in to_rate.resample(_mono(channels))
        ]
        parts += [piece.to_ndarray()[0] for piece in to_rate.resample(None)] if parts else []
    if not sum(map(len, parts)):
        raise DecodeError("no_samples")
    return np.concatenate(parts)


def _within(frames: Iterator[AudioFrame], max_seconds: float) -> Iterator[AudioFrame]:
    """The frames; raises DecodeError where they last too long."""
    seconds = 0.0
    for frame in frames:
        seconds += frame.samples / frame.sample_rate
        if seconds > max_seconds:
            raise DecodeError("too_long", f"more than {max_seconds:g} s")
        yield frame


def _mono(frame: AudioFrame) -> AudioFrame:
    """The mean of all channels, whatever each is called: FFmpeg would weigh them by their names."""
    mean = frame.to_ndarray().mean(axis=0, keepdims=True, dtype=np.float32)
    mono = AudioFrame.from_ndarray(mean, format="fltp", layout="mono")
    mono.sample_rate, mono.pts, mono.time_base = frame.sample_rate, frame.pts, frame.time_base
    return mono
