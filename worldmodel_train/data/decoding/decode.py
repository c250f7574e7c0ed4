"""The one interface of all decoders: bytes of a video in, a uint8 clip out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.decoding.crop import AnyCrop, MovingCrop
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.facts import FrameSize

ClipArray = UInt8[np.ndarray, "_ _ _ 3"]
"""t h w c; clips of one list differ in length and size."""

TIMED_OUT = "decode_timeout"
CRASHED = "decoder_crashed"
WITHOUT_ANSWER = frozenset({OUT_OF_MEMORY, TIMED_OUT, CRASHED})
"""Reasons that cost the decoding process; a machine without room for it gives them as well."""

_NO_MEMORY = (
    *("MemoryError", "bad_alloc", "Cannot allocate memory", "nsufficient memory"),
    *("(-12 vs. 0)", "failed with 12"),  # decord, of FFmpeg's AVERROR(ENOMEM)
)


def tells_of_no_memory(text: str) -> bool:
    """Whether what a library said means that it was given no memory."""
    return any(words in text for words in _NO_MEMORY)


class DecodeError(Exception):
    """A video that cannot become a clip: a short reason to count by, and the detail."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class ExactFrames:
    """Frames of a video by their number, in the order in which they are shown."""

    numbers: tuple[int, ...]
    length: int
    """Frames that the video must have."""


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """The clip wanted of a video, in terms that need no knowledge of the video."""

    frames: int
    fps: float
    start: float
    """Where the clip starts, in [0, 1): a share of the moments that leave room for it."""
    size: FrameSize
    crop: AnyCrop
    max_pixels: int
    """Largest picture that may be decoded."""
    exact: ExactFrames | None = None
    """The frames wanted, whatever `fps` and `start`; as many as `frames`."""
    steps: FrameSteps | None = None
    """How frames are counted off; None where time stamps choose them. `start` is then a share of
    the places in a segment."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the clip: t, h, w, c."""
        return self.frames, self.size.height, self.size.width, 3

    def crops(self, places: Int64[np.ndarray, "m"]) -> Iterator[tuple[AnyCrop, np.ndarray]]:
        """The crops of the pictures at these places of the clip, each with the places it is of."""
        if not isinstance(self.crop, MovingCrop):
            yield self.crop, places
            return
        for place in places:
            crop = replace(self.crop, place=int(place), frames=self.frames)
            yield crop, np.array([place])


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What is known of clips that were decoded, beside their pictures."""

    decoder: str
    times: tuple[Float64[np.ndarray, "_"], ...]
    """For each clip the seconds from the video's first picture to those that the clip shows."""


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """A clip, when its pictures are shown, and who decoded it."""

    clip: UInt8[np.ndarray, "t h w c"]
    times: Float64[np.ndarray, "t"]
    decoder: str


def decode_with(decoder: "Decoder", video: bytes, request: ClipRequest) -> DecodedClip:
    """One clip, in memory of its own; raises DecodeError."""
    clip = np.empty(request.shape, dtype=np.uint8)
    decoded = decoder.decode_into(video, [request], [clip])
    return DecodedClip(clip=clip, times=decoded.times[0], decoder=decoded.decoder)


@runtime_checkable
class Decoder(Protocol):
    """Decodes clips."""

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for, upright, RGB; raises DecodeError where that cannot be had."""
        ...

    def decode_into(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> Decoded:
        """Fills the clips asked for, all of one video; who decoded them, and their times.

        Raises DecodeError where one of them cannot be had; the clips then hold anything.
        """
        ...
