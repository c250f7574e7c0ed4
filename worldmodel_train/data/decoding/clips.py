"""Which frames of a video make a clip: chosen by time stamp, never by counting frames."""

import numpy as np
from jaxtyping import Float64, Int64

_ROUNDING = 1e-3  # seconds; mkv and webm round time stamps to milliseconds


def clip_times(
    begin: float, end: float, *, frames: int, fps: float, start: float
) -> Float64[np.ndarray, "t"]:
    """Seconds at which a clip shows its pictures.

    `start` in [0, 1) picks the first moment, uniformly among those that leave room for the whole
    clip; a video shorter than the clip is shown from its beginning.
    """
    room = max(0.0, (end - begin) - frames / fps)
    return begin + start * room + np.arange(frames) / fps


def frames_at(
    stamps: Float64[np.ndarray, "n"], times: Float64[np.ndarray, "t"]
) -> Int64[np.ndarray, "t"]:
    """The frame on screen at each time: the last whose time stamp has come.

    Low frame rates repeat frames, and past the end the last frame stays.
    """
    on_screen = np.searchsorted(stamps, times + _ROUNDING, side="right") - 1
    return np.clip(on_screen, 0, len(stamps) - 1).astype(np.int64)
