"""Decoding with PyAV: slower than decord on plain files, right on the others."""

from collections.abc import Iterator

import av
import av.container
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from jaxtyping import Int64, UInt8

from worldmodel_train.data.decoding.clips import clip_times, frames_at
from worldmodel_train.data.decoding.container import VideoTrack, open_video, read_track
from worldmodel_train.data.decoding.crop import frame_crop
from worldmodel_train.data.decoding.decode import ClipRequest, DecodedClip, DecodeError


class PyavDecoder:
    """Decodes only what a clip needs: from the keyframe before it, skipping unused B-frames."""

    def decode(self, video: bytes, request: ClipRequest) -> DecodedClip:
        """The clip asked for; raises DecodeError."""
        return self.decode_track(video, read_track(video, max_pixels=request.max_pixels), request)

    def decode_track(self, video: bytes, track: VideoTrack, request: ClipRequest) -> DecodedClip:
        """The same, for a video whose container has been read already."""
        times = clip_times(
            float(track.seconds[0]),
            track.end,
            frames=request.frames,
            fps=request.fps,
            start=request.start,
        )
        ticks = track.ticks[frames_at(track.seconds, times)]
        pictures = _pictures(video, track, np.unique(ticks), request)
        clip = np.stack([pictures[int(tick)] for tick in ticks])
        return DecodedClip(clip=clip, decoder="pyav")


def _pictures(
    video: bytes, track: VideoTrack, wanted: Int64[np.ndarray, "n"], request: ClipRequest
) -> dict[int, UInt8[np.ndarray, "s s c"]]:
    """The cut pictures at the wanted ticks.

    Seeking is inexact in some containers (MPEG-TS) and a keyframe may lean on frames before it, so
    what a seek does not bring is decoded once more from the start of the file.
    """
    first_key = int(track.key_ticks[0])
    before = track.key_ticks[track.key_ticks <= wanted[0]]
    seekable = len(before) and not track.needs_first_packet
    start = int(before[-1]) if seekable else first_key
    found: dict[int, UInt8[np.ndarray, "s s c"]] = {}
    for seek_to in dict.fromkeys((start, first_key)):
        found = _decode_from(video, track, seek_to, wanted, request)
        if len(found) == len(wanted):
            return found
    raise DecodeError("missing_frames", f"{len(found)} of {len(wanted)} frames could be decoded")


def _decode_from(
    video: bytes,
    track: VideoTrack,
    seek_to: int,
    wanted: Int64[np.ndarray, "n"],
    request: ClipRequest,
) -> dict[int, UInt8[np.ndarray, "s s c"]]:
    remaining = {int(tick) for tick in wanted}
    found: dict[int, UInt8[np.ndarray, "s s c"]] = {}
    with open_video(video, max_pixels=request.max_pixels) as (container, stream):
        if seek_to > track.key_ticks[0]:
            container.seek(seek_to, stream=stream, backward=True)
        for number, frame in enumerate(_frames(container, stream, track, remaining)):
            stamp = frame.dts if frame.pts is None else frame.pts
            tick = number if stamp is None else stamp
            if tick not in remaining:
                continue
            if frame.is_corrupt:
                break  # the caller tries again from the start, and then gives up
            found[tick] = _picture(frame, request)
            remaining.discard(tick)
            if not remaining:
                break
    return found


def _frames(
    container: av.container.InputContainer,
    stream: VideoStream,
    track: VideoTrack,
    wanted: set[int],
) -> Iterator[av.VideoFrame]:
    """Frames in the order of display; frames nobody refers to are decoded only if wanted."""
    context = stream.codec_context
    assert isinstance(context, VideoCodecContext)
    for packet in container.demux(stream):
        if track.exact:
            context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield from context.decode(packet if packet.size else None)


def _picture(frame: av.VideoFrame, request: ClipRequest) -> UInt8[np.ndarray, "s s c"]:
    """The upright, cropped RGB picture of a frame."""
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as numpy turns
    width, height = frame.width, frame.height
    if turns % 2:
        width, height = height, width
    framing = frame_crop(request.crop, width=width, height=height, size=request.size)
    if (framing.width, framing.height) == (width, height):
        picture = frame.to_ndarray(format="rgb24")
    else:
        scaled = (framing.height, framing.width) if turns % 2 else (framing.width, framing.height)
        picture = frame.reformat(scaled[0], scaled[1], "rgb24", interpolation="BICUBIC")
        picture = picture.to_ndarray()
    cut = framing.cut(np.rot90(picture, turns), request.size)
    return np.ascontiguousarray(cut[:, ::-1] if request.crop.flip else cut)
