"""What a video's container says of its frames, read without decoding them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import av
import av.container
import av.error
import numpy as np
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import Float64, Int64

from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.video_files import CONTAINERS


@dataclass(frozen=True, kw_only=True)
class VideoTrack:
    """The frames that a player would show."""

    container: str
    codec: str
    ticks: Int64[np.ndarray, "n"]
    """Time stamps in the stream's own unit, ascending."""
    key_ticks: Int64[np.ndarray, "k"]
    """Time stamps at which decoding can start, ascending."""
    seconds: Float64[np.ndarray, "n"]
    """The time stamps in seconds."""
    end: float
    """Second at which the last frame leaves the screen."""
    packets_hidden: int
    """Packets that are stored but not shown: edit lists, or no keyframe before them."""
    exact: bool
    """Whether each packet carries its frame's time stamp."""
    open_gop: bool
    """Whether frames shown before a keyframe are stored after it."""
    needs_first_packet: bool
    """Whether later keyframes cannot be decoded without the stream's first packet."""


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


def read_track(video: bytes, *, max_pixels: int) -> VideoTrack:
    """The frames of the first video stream, from one pass over the packet headers."""
    with open_video(video, max_pixels=max_pixels) as (container, stream):
        packets = _Packets()
        for packet in container.demux(stream):
            packets.add(packet)
        return packets.track(container, stream)


class _Packets:
    """Collects what the packets of one stream say."""

    def __init__(self) -> None:
        self._shown: dict[int, int] = {}  # tick -> duration
        self._keys: list[int] = []
        self._hidden = 0
        self._exact = True
        self._open_gop = False

    def add(self, packet: av.Packet) -> None:
        if packet.size == 0:
            return  # the demuxer's last, empty packet
        tick = packet.dts if packet.pts is None else packet.pts
        if tick is None:
            tick = len(self._shown) + self._hidden
        self._exact = self._exact and packet.pts is not None
        if packet.is_keyframe:
            self._keys.append(tick)
        elif len(self._keys) > 1 and tick < self._keys[-1]:
            self._open_gop = True
        if packet.is_discard or not self._keys or tick < self._keys[0]:
            self._hidden += 1
        else:
            self._shown[tick] = packet.duration or 0

    def track(self, container: av.container.InputContainer, stream: VideoStream) -> VideoTrack:
        if not self._shown:
            raise DecodeError("no_frames")
        ticks = np.array(sorted(self._shown), dtype=np.int64)
        unit = float(stream.time_base or 1)
        rate = float(stream.average_rate or 0)
        last = self._shown[int(ticks[-1])] * unit or (1 / rate if rate else 0.0)
        context = stream.codec_context
        # libavcodec works around a bug of x264's 4:4:4 files only if it has read the version in
        # the first packet; after a seek it decodes other pictures (decord: without an error).
        needs_first = context.name == "h264" and "444" in (context.pix_fmt or "")
        return VideoTrack(
            container=container.format.name,
            codec=context.name,
            ticks=ticks,
            key_ticks=np.array(sorted(self._keys), dtype=np.int64),
            seconds=ticks * unit,
            end=float(ticks[-1]) * unit + last,
            packets_hidden=self._hidden,
            exact=self._exact,
            open_gop=self._open_gop,
            needs_first_packet=needs_first,
        )
