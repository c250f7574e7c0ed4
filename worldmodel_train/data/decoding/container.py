"""What a video's container says of its frames, read in one pass and without decoding them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import av
import av.container
import av.error
import numpy as np
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from jaxtyping import Float64, Int64

from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.decoding.clips import clip_times, frames_at
from worldmodel_train.data.decoding.decode import ClipRequest, DecodeError
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.data.video_files import CONTAINERS

# A picture that these codecs mark as no reference is referred to by no other, and decoding depends
# on nothing else of it. HEVC is a case of its own, below.
_SKIPPING_CODECS = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4", "vp8"})

# Ten hours at 30 frames a second. A packet takes 1.4 kB beside its bytes, and tables of a few
# kilobytes can name any number.
_MOST_PACKETS = 1 << 20
# Packets are parts of the file, and no larger together, but where an edit list shows a part again
# or samples share their bytes: that may be done twice over, and as often as one likes if it is
# little.
_MOST_SHOWINGS = 2
_LITTLE = 256 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class VideoTrack:
    """The frames that a player would show."""

    container: str
    codec: str
    ticks: Int64[np.ndarray, "n"]
    """Time stamps in the stream's own unit, ascending."""
    places: Int64[np.ndarray, "n"]
    """Which of the stored packets holds each frame."""
    key_ticks: Int64[np.ndarray, "k"]
    """Time stamps of the frames at which decoding can start, as they are stored."""
    key_places: Int64[np.ndarray, "k"]
    """Which packets hold them, ascending."""
    num_packets: int
    seconds: Float64[np.ndarray, "n"]
    """The time stamps in seconds."""
    rate: float
    """Frames a second, as the container has it; 0 where it does not know."""
    end: float
    """Second at which the last frame leaves the screen."""
    packets_hidden: int
    """Packets that are stored but not shown: edit lists, or no keyframe before them."""
    exact: bool
    """Whether each packet carries its frame's time stamp, and no two the same."""
    open_gop: bool
    """Whether frames shown before a keyframe are stored after it."""
    needs_first_packet: bool
    """Whether later keyframes cannot be decoded without the stream's first packet."""
    skippable: bool
    """Whether the decoder may leave out frames that no other frame refers to."""

    def frames_of(self, request: ClipRequest) -> Int64[np.ndarray, "t"]:
        """The number of the frame that each picture of the clip shows; raises DecodeError."""
        if request.exact is not None:
            if len(self.seconds) != request.exact.length:
                detail = f"{len(self.seconds)} frames, not {request.exact.length}"
                raise DecodeError("length_mismatch", detail)
            return np.array(request.exact.numbers, dtype=np.int64)
        if request.steps is not None:
            return self._counted(request, request.steps)
        times = clip_times(
            float(self.seconds[0]),
            self.end,
            frames=request.frames,
            fps=request.fps,
            start=request.start,
        )
        return frames_at(self.seconds, times)

    def _counted(self, request: ClipRequest, steps: FrameSteps) -> Int64[np.ndarray, "t"]:
        step = steps.step_of(self.rate, request.fps)
        if step < 1:
            detail = f"{self.rate:g} frames a second, not {request.fps:g}"
            raise DecodeError("frame_rate_too_low", detail)
        return steps.frames_of(
            len(self.seconds), frames=request.frames, step=step, start=request.start
        )

    def times_of(self, frames: Int64[np.ndarray, "t"]) -> Float64[np.ndarray, "t"]:
        """Seconds from the first frame to these."""
        return self.seconds[frames] - self.seconds[0]


@dataclass(frozen=True, kw_only=True)
class OpenTrack:
    """A track, its packets as they are stored, and a decoder that has seen none of them."""

    track: VideoTrack
    packets: Sequence[av.Packet]
    context: VideoCodecContext


@contextmanager
def open_video(
    video: bytes, *, max_pixels: int
) -> Iterator[tuple[av.container.InputContainer, VideoStream]]:
    """The container and its first video stream; PyAV's errors become DecodeError."""
    if not video:
        raise DecodeError("empty_file")
    try:
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
        file = BytesIO(video)
        with av.open(file, mode="r", options=options, metadata_errors="ignore") as container:
            yield container, _video_stream(container, max_pixels)
    except MemoryError as error:
        raise DecodeError(OUT_OF_MEMORY, str(error)) from error
    except (av.error.FFmpegError, IndexError) as error:
        raise DecodeError("corrupt_video", f"{type(error).__name__}: {error}") from error


def _video_stream(container: av.container.InputContainer, max_pixels: int) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise DecodeError("no_video_stream")
    context = stream.codec_context
    if context is None:
        raise DecodeError("unknown_codec")
    if context.width * context.height > max_pixels:
        raise DecodeError("too_large", f"{context.width}x{context.height}, limit {max_pixels}")
    # The stream's own header may name another size than the container: bound that one too.
    context.options = {"max_pixels": str(max_pixels)}
    context.thread_count = 1
    return stream


@contextmanager
def open_track(video: bytes, *, max_pixels: int) -> Iterator[OpenTrack]:
    """The first video stream, whose decoding may begin at any keyframe.

    The packets are kept: the file is parsed once, and nothing has to seek in it, which is inexact
    in some containers (MPEG-TS).
    """
    with open_video(video, max_pixels=max_pixels) as (container, stream):
        most_bytes = max(_LITTLE, _MOST_SHOWINGS * len(video))
        stored = _stored_packets(container, stream, most_bytes)
        context = stream.codec_context
        assert isinstance(context, VideoCodecContext)
        track = _track(stored, container, stream)
        yield OpenTrack(track=track, packets=stored, context=context)


def _stored_packets(
    container: av.container.InputContainer, stream: VideoStream, most_bytes: int
) -> list[av.Packet]:
    """The packets of a stream; raises DecodeError where they are more than a file can hold."""
    packets: list[av.Packet] = []
    num_bytes = 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        packets.append(packet)
        num_bytes += packet.size
        if len(packets) > _MOST_PACKETS or num_bytes > most_bytes:
            raise DecodeError("too_many_packets", f"{len(packets)} hold {num_bytes} bytes")
    return packets


def read_track(video: bytes, *, max_pixels: int) -> VideoTrack:
    """The frames of the first video stream."""
    with open_track(video, max_pixels=max_pixels) as opened:
        return opened.track


def _track(
    stored: Sequence[av.Packet], container: av.container.InputContainer, stream: VideoStream
) -> VideoTrack:
    """What the packets say; raises DecodeError if they show nothing."""
    exact = all(packet.pts is not None for packet in stored)
    stamps = [packet.dts if packet.pts is None else packet.pts for packet in stored]
    ticks = np.array([i if t is None else t for i, t in enumerate(stamps)], dtype=np.int64)
    is_key = np.array([packet.is_keyframe for packet in stored], dtype=bool)
    is_cut = np.array([packet.is_discard for packet in stored], dtype=bool)
    key_places = np.flatnonzero(is_key)
    num_keys = np.cumsum(is_key)
    key_ticks = ticks[key_places]
    # without a keyframe nothing is shown
    shown = np.flatnonzero((num_keys > 0) & ~is_cut & (ticks >= key_ticks[:1].sum()))
    if not len(shown):
        raise DecodeError("no_frames")
    shown_ticks, firsts = np.unique(ticks[shown], return_index=True)
    places = shown[firsts]
    unit = float(stream.time_base or 1)
    rate = float(stream.average_rate or 0)
    last = (stored[int(places[-1])].duration or 0) * unit or (1 / rate if rate else 0.0)
    context = stream.codec_context
    exact = exact and len(places) == len(shown)
    # libavcodec works around a bug of x264's 4:4:4 files only if it has read the version in
    # the first packet; after a seek it decodes other pictures (decord: without an error).
    x264_444 = context.name == "h264" and "444" in (context.pix_fmt or "")
    return VideoTrack(
        container=container.format.name,
        codec=context.name,
        ticks=shown_ticks,
        places=places,
        key_ticks=key_ticks,
        key_places=key_places,
        num_packets=len(stored),
        seconds=shown_ticks * unit,
        rate=rate,
        end=float(shown_ticks[-1]) * unit + last,
        packets_hidden=len(stored) - len(shown),
        exact=exact,
        open_gop=bool(((num_keys > 1) & (ticks < key_ticks[num_keys - 1])).any()),
        # frames without any time stamp are known by their number, counted from the first
        needs_first_packet=x264_444 or None in stamps,
        skippable=exact and (context.name in _SKIPPING_CODECS or _is_plain_hevc(context)),
    )


def _is_plain_hevc(context: av.CodecContext) -> bool:
    """Whether this is HEVC without temporal layers, by ISO/IEC 14496-15, 8.3.2.1.

    Between layers, pictures may refer to what is marked as no reference inside its own layer.
    """
    header = context.extradata or b""
    is_record = context.name == "hevc" and len(header) > 22 and header[0] == 1
    return is_record and header[21] >> 3 & 7 == 1
