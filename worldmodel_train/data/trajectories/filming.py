"""The frames that show an episode, out of the video of its camera and into one of its own."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from worldmodel_train.data.decoding.crop import CENTER_CROP, frame_whole
from worldmodel_train.data.packing.encode import EncodeConfig, Output, Shape, upright, write_frames
from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.packing.probe import Beat, open_video
from worldmodel_train.data.trajectories.formats.recording import Film
from worldmodel_train.facts import FrameSize


def write_film(
    film: Film, target: Path, encode: EncodeConfig, size: FrameSize | None, beat: Beat
) -> None:
    """Write an mp4 with a frame for each observation; raises BadVideo where there are fewer."""
    frames = frames_of(film, beat)
    shape = Shape(encode.short_side, Fraction(1))
    if size is not None:
        frames, shape = (_cut(frame, size) for frame in frames), Shape(None, Fraction(1))
    rate = Fraction(film.fps).limit_denominator(1001)
    write_frames(frames, target, Output(rate, shape, encode), beat)


def frames_of(film: Film, beat: Beat) -> Iterator[VideoFrame]:
    """Exactly the frames of a film; raises BadVideo where the video has fewer, or other times."""
    shown = number = 0
    with open_video(film.path) as (container, stream):
        origin = float((stream.start_time or 0) * (stream.time_base or 0))
        start = None if film.start_s is None else film.start_s + origin
        if start is not None and stream.time_base is not None:
            container.seek(int(start / stream.time_base), stream=stream, backward=True)
        for frame in container.decode(stream):
            beat()
            if start is not None and _is_before(frame, start, number, film.fps):
                continue
            if number % film.every == 0:
                shown += 1
                yield frame
            number += 1
            if shown == film.count:
                return
    raise BadVideo("length_mismatch", f"{shown} frames for {film.count} observations")


def _is_before(frame: VideoFrame, start: float, number: int, fps: float) -> bool:
    """Whether a frame is shown before the film begins; BadVideo where it is not the next of it."""
    late = (frame.time if frame.time is not None else float("inf")) - (start + number / fps)
    if number == 0 and late < -0.5 / fps:
        return True
    if abs(late) > 0.5 / fps:
        raise BadVideo("timestamps", f"frame {number} is {late:.3f} s from where its row is")
    return False


def cut_pictures(
    pictures: UInt8[np.ndarray, "T h w c"], size: FrameSize
) -> UInt8[np.ndarray, "T {size.height} {size.width} c"]:
    """The largest middle part of that shape of each picture, scaled."""
    height, width, channels = pictures.shape[1:]
    framing = frame_whole(CENTER_CROP, width=width, height=height, size=size)
    cut = [framing.cut(picture, size) for picture in pictures]
    return np.stack(cut).reshape(len(pictures), *size, channels)


def _cut(frame: VideoFrame, size: FrameSize) -> VideoFrame:
    picture = upright(frame).to_ndarray(format="rgb24")
    cut = cut_pictures(picture[None].astype(np.uint8, copy=False), size)[0]
    return VideoFrame.from_ndarray(np.ascontiguousarray(cut), format="rgb24")
