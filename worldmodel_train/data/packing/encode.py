"""Writes a video, or a part of it, anew: smaller, at a constant rate, with close keyframes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.packing.probe import Beat, check_size, frame_rate, open_video

Frame = TypeVar("Frame")

LONGEST_GAP_S = 60.0  # a longer one is a broken time stamp; filling it would take forever


class EncodeConfig(StrictConfig):
    """How videos are re-encoded. Time stamps become evenly spaced, rotation is baked in."""

    codec: Literal["h264", "hevc"] = "h264"
    short_side: Annotated[int, Field(ge=16, le=4320)] | None = None
    """Pixels of the shorter side; smaller videos are not enlarged. Null keeps the size."""
    gop: Annotated[int, Field(ge=1)] = 16
    """Frames from one keyframe to the next: what a reader must decode to reach a frame."""
    fps: Annotated[float, Field(gt=0, le=240)] | None = None
    """Frames per second at most; null keeps the source's average."""
    crf: Annotated[int, Field(ge=0, le=51)] = 23
    """Constant rate factor: lower is better and larger."""
    tune: Literal["fastdecode"] | None = None
    """`fastdecode` leaves out CABAC and deblocking: decodes faster, but larger and blockier."""

    def encoder_options(self) -> tuple[str, dict[str, str]]:
        """FFmpeg's encoder and its options: one thread and fixed keyframes, so bytes repeat."""
        common = {"crf": str(self.crf), "preset": "medium", "bf": "0", "g": str(self.gop)}
        if self.tune:
            common["tune"] = self.tune
        if self.codec == "h264":
            # without B-frames there is no edit list, and every decoder seeks exactly
            # macroblock trees make x264 write other bytes in about one run of a hundred
            fixed = {"keyint_min": str(self.gop), "sc_threshold": "0", "mbtree": "0"}
            return "libx264", common | fixed
        parameters = (
            f"log-level=none:pools=none:frame-threads=1:bframes=0:scenecut=0:cutree=0:"
            f"keyint={self.gop}:min-keyint={self.gop}:open-gop=0"
        )
        return "libx265", common | {"x265-params": parameters}


PRESETS = {
    # Of clips of 16 frames at 4 fps, 256 px, one core decodes ten times as many as of 720p sources,
    # three times as many as of 320 px at the source's rate. 8 fps serve clips of 8, 4, 2 and 1.
    "fast": EncodeConfig(short_side=256, gop=8, fps=8.0, tune="fastdecode"),
}
"""Encodings by name: what `wmt data pack --preset` offers."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Seconds from the video's first frame."""

    start: float = 0.0
    end: float = float("inf")

    def __str__(self) -> str:
        whole = self.end == float("inf")
        span = f"after {self.start:g} s" if whole else f"from {self.start:g} s to {self.end:g} s"
        return f"{span}; does the video end before?" if self.start else span


def reencode(
    source: Path, target: Path, segment: Segment, config: EncodeConfig, beat: Beat
) -> None:
    """Write the segment of `source` to `target` as mp4."""
    with open_video(source) as (container, stream):
        source_rate = frame_rate(stream) or Fraction(25)
        wanted = Fraction(config.fps).limit_denominator(1001) if config.fps else source_rate
        rate = min(wanted, source_rate)
        timed = _between(_timed_frames(container, stream, segment, source_rate), segment)
        frames = constant_rate(timed, rate, interval=float(1 / source_rate))
        shape = Shape(config.short_side, stream.sample_aspect_ratio or Fraction(1))
        if not write_frames(frames, target, Output(rate, shape, config), beat):
            raise BadVideo("empty", f"no frame {segment}")


def constant_rate(
    timed: Iterable[tuple[float, Frame]], rate: Fraction, interval: float
) -> Iterator[Frame]:
    """The frame on screen at each tick of `rate`; the first tick is the first frame's time.

    `interval` is the usual time between source frames; a quarter of it absorbs rounded stamps.
    """
    slack = 0.25 * min(interval, float(1 / rate))
    tick, origin, previous, held = 0, 0.0, 0.0, None
    for time, frame in timed:
        if held is None:
            origin = previous = time
        if time - previous > LONGEST_GAP_S:
            raise BadVideo("timestamps", f"{time - previous:.0f} s between two frames")
        while held is not None and float(tick / rate) < time - origin - slack:
            yield held
            tick += 1
        held, previous = frame, time
    while held is not None and float(tick / rate) < previous - origin + interval - slack:
        yield held
        tick += 1


def _timed_frames(
    container: InputContainer, stream: VideoStream, segment: Segment, rate: Fraction
) -> Iterator[tuple[float, VideoFrame]]:
    """Frames with their seconds from the video's first frame, from a keyframe before `start`."""
    base = stream.time_base
    if base is None:
        raise BadVideo("timestamps", "the stream has no time base")
    origin = stream.start_time or 0
    if segment.start > 1.0:
        container.seek(origin + int(segment.start / base), stream=stream, backward=True)
    time = -float(1 / rate)
    for frame in container.decode(stream):
        time = float((frame.pts - origin) * base) if frame.pts is not None else time + 1 / rate
        yield float(time), frame


def _between(
    timed: Iterable[tuple[float, VideoFrame]], segment: Segment
) -> Iterator[tuple[float, VideoFrame]]:
    tolerance = 1e-3  # mkv rounds to milliseconds
    for time, frame in timed:
        if time >= segment.end - tolerance:
            return
        if time >= segment.start - tolerance:
            yield time, frame


@dataclass(frozen=True)
class Shape:
    """The pixels to write: the shorter side, and how wide the source's pixels are shown."""

    short_side: int | None
    pixel_aspect: Fraction

    def of(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height of the frame as shown, upright and scaled; even, as 4:2:0 needs."""
        check_size(frame.width, frame.height)
        width, height = frame.width * float(self.pixel_aspect), float(frame.height)
        if _quarter_turns(frame) % 2:
            width, height = height, width
        shorter = min(width, height)
        scale = min(self.short_side or shorter, shorter) / shorter
        return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


@dataclass(frozen=True)
class Output:
    """The file to write: frames per second, pixels, encoder."""

    rate: Fraction
    shape: Shape
    config: EncodeConfig


def write_frames(frames: Iterable[VideoFrame], target: Path, output: Output, beat: Beat) -> int:
    """The number of frames written to `target`, one for each, whatever their times are."""
    count = 0
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    encoder, encoder_options = output.config.encoder_options()
    with av.open(str(target), "w", format="mp4", options=options) as file:
        stream = file.add_stream(encoder, rate=output.rate, options=encoder_options)
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            if count == 0:
                stream.width, stream.height = output.shape.of(frame)
            scaled = upright(frame).reformat(
                stream.width,
                stream.height,
                "yuv420p",
                interpolation="BICUBIC",
                dst_color_range="MPEG",  # the one that a file means which names none
            )
            scaled.pts, scaled.time_base = count, 1 / output.rate
            scaled.pict_type = 0  # the encoder places keyframes, not the source
            file.mux(stream.encode(scaled))
            count += 1
            beat()
        if count:
            file.mux(stream.encode(None))
    return count


def upright(frame: VideoFrame) -> VideoFrame:
    """The frame as a player shows it."""
    turns = _quarter_turns(frame)
    if turns == 0:
        return frame
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), turns).astype(np.uint8)
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")


def _quarter_turns(frame: VideoFrame) -> int:
    return round(frame.rotation / 90) % 4
