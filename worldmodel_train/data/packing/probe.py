"""Opens a video and says what is in it, or why it cannot be used."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedIOBase
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from worldmodel_train.data.confinement import OUT_OF_MEMORY
from worldmodel_train.data.packing.errors import DISK_ERRORS, BadVideo
from worldmodel_train.data.video_files import CONTAINERS, IMAGE_SUFFIXES

SMALLEST_SIDE = 16
LARGEST_SIDE = 16384  # more is a lie in the header; believing it costs gigabytes a frame

Beat = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """The best video stream of a file. `fps` is the average, `duration` is in seconds."""

    fps: float
    frames: int
    width: int
    height: int
    duration: float
    codec: str


Probe = Callable[[BufferedIOBase, Beat], VideoInfo]


@contextmanager
def open_video(file: Path | BufferedIOBase) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream; whatever FFmpeg dislikes becomes a BadVideo."""
    try:
        with _open(file) as container:
            stream = container.streams.best("video")  # of several, the one decord takes as well
            if not isinstance(stream, VideoStream):
                raise BadVideo("no_video", "the file has no video stream")
            stream.codec_context.thread_count = 1
            check_size(stream.codec_context.width, stream.codec_context.height)
            yield container, stream
    except MemoryError as error:
        raise BadVideo(OUT_OF_MEMORY, "needs more memory than a worker may take") from error
    except (FFmpegError, OverflowError) as error:
        if isinstance(error, FFmpegError) and error.errno in DISK_ERRORS:
            raise OSError(error.errno, os.strerror(error.errno), error.filename) from error
        raise BadVideo("undecodable", _words(error)) from error


@contextmanager
def _open(file: Path | BufferedIOBase) -> Iterator[InputContainer]:
    if isinstance(file, Path) and file.suffix.lower() in IMAGE_SUFFIXES:
        # by such a name FFmpeg takes a reader of series of files; without one it looks inside
        with file.open("rb") as content, _open(content) as container:
            yield container
        return
    # "file:" keeps FFmpeg from taking the start of a name such as "12:30 take.mp4" for a protocol
    place, protocol = (f"file:{file}", "file") if isinstance(file, Path) else (file, "none")
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": protocol}
    with av.open(place, mode="r", options=options, metadata_errors="replace") as container:
        yield container


def _words(error: BaseException) -> str:
    """What went wrong, without the name of a scratch file."""
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def check_size(width: int, height: int) -> None:
    """Refuse sizes that no training clip has."""
    if min(width, height) < SMALLEST_SIDE or max(width, height) > LARGEST_SIDE:
        raise BadVideo(
            "size", f"{width}x{height}; both sides must be {SMALLEST_SIDE}..{LARGEST_SIDE} pixels"
        )


def probe_ends(file: Path | BufferedIOBase, beat: Beat) -> VideoInfo:
    """What the packets say, after decoding the first frames and the last.

    Where FFmpeg marks a packet as damaged, every frame is decoded instead.
    """
    with open_video(file) as (container, stream):
        tally = _count_packets(container, stream, beat)
    if tally.damaged:
        return probe_all(file, beat)
    _rewind(file)
    with open_video(file) as (container, stream):
        _decode_one(container, stream)
        container.seek(tally.last_pts, stream=stream, backward=True)
        for _ in container.decode(stream):
            beat()
        return _describe(stream, tally)


def probe_all(file: Path | BufferedIOBase, beat: Beat) -> VideoInfo:
    """What decoding every frame shows."""
    _rewind(file)
    with open_video(file) as (container, stream):
        tally = _count_packets(container, stream, beat)
    _rewind(file)
    decoded = 0
    with open_video(file) as (container, stream):
        try:
            for _ in container.decode(stream):
                decoded += 1
                beat()
        except FFmpegError as error:
            raise BadVideo("undecodable", f"after {decoded} frames: {_words(error)}") from error
        if decoded == 0:
            raise BadVideo("empty", "not one frame can be decoded")
        expected = max(tally.packets, stream.frames - tally.discarded)
        if decoded < expected:
            raise BadVideo("truncated", f"{decoded} of {expected} frames can be decoded")
        return _describe(stream, tally)


@dataclass
class _Tally:
    packets: int = 0
    discarded: int = 0  # cut away by an edit list: decoded, never shown
    damaged: bool = False
    first_pts: int | None = None
    last_pts: int = 0
    end_pts: int = 0


def _count_packets(container: InputContainer, stream: VideoStream, beat: Beat) -> _Tally:
    tally = _Tally()
    for packet in container.demux(stream):
        beat()
        if not packet.size:
            continue
        tally.damaged |= packet.is_corrupt
        if packet.is_discard:
            tally.discarded += 1
            continue
        tally.packets += 1
        if packet.pts is not None:
            first = packet.pts if tally.first_pts is None else tally.first_pts
            tally.first_pts = min(first, packet.pts)
            tally.last_pts = max(tally.last_pts, packet.pts)
            tally.end_pts = max(tally.end_pts, packet.pts + (packet.duration or 0))
    if not tally.packets:
        raise BadVideo("empty", "the video stream holds no frames")
    if stream.frames > tally.packets + tally.discarded:
        raise BadVideo("truncated", f"{tally.packets} of {stream.frames} frames are in the file")
    return tally


def _decode_one(container: InputContainer, stream: VideoStream) -> VideoFrame:
    for frame in container.decode(stream):
        check_size(frame.width, frame.height)
        return frame
    raise BadVideo("empty", "not one frame can be decoded")


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Frames per second as the container averages them; None where that is nonsense."""
    rate = stream.average_rate
    return rate if rate is not None and Fraction(1, 10) <= rate <= 1000 else None


def _describe(stream: VideoStream, tally: _Tally) -> VideoInfo:
    rate, base = frame_rate(stream), stream.time_base
    duration = 0.0
    if base is not None and tally.first_pts is not None:
        duration = float((tally.end_pts - tally.first_pts) * base)
    if duration <= 0.0:  # a still picture, or a container without time stamps
        duration = tally.packets / float(rate or 25)
    fps = tally.packets / duration
    if rate is not None and abs(fps - rate) < 0.02 * rate:
        fps = float(rate)  # mkv rounds its time stamps to milliseconds
    context = stream.codec_context
    return VideoInfo(
        fps=round(fps, 4),
        frames=tally.packets,
        width=context.width,
        height=context.height,
        duration=round(duration, 4),
        codec=context.codec.canonical_name,
    )


def _rewind(file: Path | BufferedIOBase) -> None:
    if not isinstance(file, Path):
        file.seek(0)
