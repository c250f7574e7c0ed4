"""Which frames make a clip where they are counted, as in V-JEPA 2's published evaluation."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, kw_only=True)
class FrameSteps:
    """The clip of one of a video's segments, its pictures `step` frames from each other.

    Read off facebookresearch/vjepa2 at c2963a4, `src/datasets/video_dataset.py`, whose evaluations
    let segments of short videos overlap. There a window's place in its segment is drawn anew each
    time; here it is asked for.
    """

    step: int | None
    """None: the video's rate, rounded up, over the rate asked for, rounded down (30 / 4 is 7)."""
    segment: int = 0
    segments: int = 1

    def step_of(self, rate: float, fps: float) -> int:
        """Frames from a picture to the next; 0 where a video has fewer a second than asked for."""
        return int(ceil(rate) // fps) if self.step is None else self.step

    def frames_of(
        self, num_frames: int, *, frames: int, step: int, start: float
    ) -> Int64[np.ndarray, "t"]:
        """The numbers of the clip's frames, for a window at `start` in [0, 1) of its segment.

        The first and the last are a whole window apart, so that pictures lie a little further from
        each other than `step`. A video that is shorter shows its last frame but one to the end.
        """
        window = frames * step
        segment = num_frames // self.segments
        if segment > window:
            first = int(start * (segment - window))
            numbers = np.linspace(first, first + window, num=frames)
            numbers = np.clip(numbers, first, first + window - 1).astype(np.int64)
            return numbers + self.segment * segment
        last = min(window, num_frames) - 1
        moving = np.linspace(0, last, num=last // step)
        numbers = np.concatenate((moving, np.full(frames - len(moving), last)))
        numbers = np.clip(numbers, 0, max(0, last - 1)).astype(np.int64)
        room = max(0, num_frames - window)
        return numbers + (self.segment * (room // (self.segments - 1)) if room else 0)
