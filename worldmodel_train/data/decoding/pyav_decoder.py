"""Decoding with PyAV: only what clips need, bit for bit what decoding everything would show."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import Float64, Int64, UInt8

from worldmodel_train.data.decoding.container import OpenTrack, VideoTrack, open_track
from worldmodel_train.data.decoding.crop import frame_crop
from worldmodel_train.data.decoding.decode import (
    ClipArray,
    ClipRequest,
    Decoded,
    DecodedClip,
    DecodeError,
    decode_with,
)
from worldmodel_train.data.decoding.spans import spans_to_decode

_OF_SPARSE_DECODING = ("missing_frames", "false_keyframe", "corrupt_video")

# Without the second, libswscale takes RGB from tables that are shared by two neighbours, cut off
# twice: flat grey comes out up to two levels too dark, wherever the width is even.
_SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT

_Frames = Callable[[OpenTrack, Int64[np.ndarray, "m"]], Iterator[av.VideoFrame]]


class PyavDecoder:
    """Decodes from a keyframe to the last frame wanted, without the frames no other refers to."""

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises DecodeError."""
        return decode_with(self, video, request)

    def decode_into(
        self, video: bytes, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> Decoded:
        """Fills the clips; frames that several of them show are decoded once.

        A keyframe may lean on frames before it, or be none, whatever the container says. What is
        not found from the nearest keyframes on is looked for by decoding everything, and then
        missing.
        """
        try:
            times = _fill(clips, video, requests, _needed_frames)
        except DecodeError as error:
            if error.reason not in _OF_SPARSE_DECODING:
                raise
            times = _fill(clips, video, requests, _all_frames)
        return Decoded(decoder="pyav", times=times)


def _fill(
    clips: Sequence[ClipArray], video: bytes, requests: Sequence[ClipRequest], frames: _Frames
) -> tuple[Float64[np.ndarray, "_"], ...]:
    """Fills the clips; the times of their pictures."""
    max_pixels = min(request.max_pixels for request in requests)
    with open_track(video, max_pixels=max_pixels) as opened:
        cutter = _Cutter(opened.track, requests, clips)
        cutter.cut(frames(opened, cutter.frames))
        return cutter.times


def _needed_frames(opened: OpenTrack, frames: Int64[np.ndarray, "m"]) -> Iterator[av.VideoFrame]:
    """Frames from which nothing is missing but what nobody wants."""
    context, track = opened.context, opened.track
    wanted = set(track.places[frames].tolist())
    for number, span in enumerate(spans_to_decode(track, frames)):
        if number:
            context.flush_buffers()
        for place in span:
            if track.skippable:
                context.skip_frame = "DEFAULT" if place in wanted else "NONREF"
            yield from _trusted(context.decode(opened.packets[place]), opened, span)
        yield from _trusted(context.decode(None), opened, span)


def _trusted(
    frames: Iterable[av.VideoFrame], opened: OpenTrack, span: range
) -> Iterator[av.VideoFrame]:
    """The frames; raises DecodeError where decoding began in the middle at no keyframe.

    Some decoders begin at any frame, on a grey one, and neither fail nor say so.
    """
    first = opened.packets[span.start]
    for frame in frames:
        if span.start and frame.pts == first.pts and not frame.key_frame:
            raise DecodeError("false_keyframe", f"at {first.pts}")
        yield frame


def _all_frames(opened: OpenTrack, frames: Int64[np.ndarray, "m"]) -> Iterator[av.VideoFrame]:
    """All frames, whichever are wanted."""
    del frames
    for packet in opened.packets:
        yield from opened.context.decode(packet)
    yield from opened.context.decode(None)


class _Cutter:
    """Cuts the pictures of clips out of frames, in whatever order these come."""

    def __init__(
        self, track: VideoTrack, requests: Sequence[ClipRequest], clips: Sequence[ClipArray]
    ) -> None:
        self._requests = requests
        self._clips = clips
        shown = [track.frames_of(request) for request in requests]
        self._shown = [track.ticks[frames] for frames in shown]
        self.times = tuple(track.times_of(frames) for frames in shown)
        self.frames = np.unique(np.concatenate(shown))
        self._missing = set(track.ticks[self.frames].tolist())
        self._reformatter = VideoReformatter()  # shared, because setting one up takes long

    def cut(self, frames: Iterable[av.VideoFrame]) -> None:
        """Takes frames until the clips are whole; raises DecodeError if they do not become it."""
        wanted = len(self._missing)
        for number, frame in enumerate(frames):
            stamp = frame.dts if frame.pts is None else frame.pts
            tick = number if stamp is None else stamp
            if tick in self._missing and not frame.is_corrupt:
                self._missing.discard(tick)
                self._show(frame, tick)
                if not self._missing:
                    return
        found = wanted - len(self._missing)
        raise DecodeError("missing_frames", f"{found} of {wanted} frames could be decoded")

    def _show(self, frame: av.VideoFrame, tick: int) -> None:
        """Cuts the pictures that clips show at this time."""
        pictures: dict[tuple[int, int], UInt8[np.ndarray, "h w c"]] = {}
        turns = round(frame.rotation / 90) % 4  # counter-clockwise, as numpy turns
        size = (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)
        for request, ticks, clip in zip(self._requests, self._shown, self._clips, strict=True):
            shown = np.flatnonzero(ticks == tick)
            if not len(shown):
                continue
            for crop, places in request.crops(shown):
                framing = frame_crop(crop, width=size[0], height=size[1], size=request.size)
                scaled = framing.width, framing.height
                if scaled not in pictures:
                    pictures[scaled] = self._picture(frame, turns, scaled)
                cut = framing.cut(pictures[scaled], request.size)
                clip[places] = cut[:, ::-1] if crop.flip else cut

    def _picture(
        self, frame: av.VideoFrame, turns: int, size: tuple[int, int]
    ) -> UInt8[np.ndarray, "h w c"]:
        """The upright RGB picture of a frame, `size` wide and high."""
        width, height = size[::-1] if turns % 2 else size
        scales = (width, height) != (frame.width, frame.height)
        rgb = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=_SCALING if scales else None
        )
        return np.rot90(rgb.to_ndarray(), turns)
