"""Handwritten characters drawn stroke by stroke: small labelled videos of real human motion.

Source: Omniglot's timed pen trajectories (Lake et al. 2015), shipped with the package.
"""

from dataclasses import dataclass
from importlib.resources import files

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

CANVAS = 105.0  # pixels of the square Omniglot was drawn on
LONGEST_PAUSE_MS = 250  # a drawer who looks away must not freeze the clip
_FINER = 2  # drawn at twice the size and averaged: a pen of 2.6 pixels of the canvas, soft edges
_SHIFT = 4  # cv2 takes positions in 1/16 pixel


@dataclass(frozen=True, kw_only=True)
class PenStrokes:
    """Clips of characters being drawn, and who drew what.

    Labels count from 0. Hold out by `drawer` to test on unseen handwriting.
    """

    clips: UInt8[Tensor, "b t h w c"]
    character: Int[Tensor, " b"]
    alphabet: Int[Tensor, " b"]
    drawer: Int[Tensor, " b"]
    character_names: tuple[str, ...]
    """`Alphabet/characterNN` for each value of `character`."""


def pen_stroke_clips(
    frames: int, size: int, *, limit_characters: int | None = None, limit_drawers: int | None = None
) -> PenStrokes:
    """White anti-aliased strokes on black, `frames` frames of `size` x `size`, by character.

    Frame f shows what had been drawn after (f + 1) / frames of the drawing's time, pauses cut
    to 250 ms; the last frame shows all of it. `limit_characters` takes that many characters spread
    evenly over the alphabets, `limit_drawers` the first drawers. Raises ValueError for limits that
    leave nothing.
    """
    if frames < 1 or size < 8:
        raise ValueError(f"pen strokes: frames={frames} and size={size} must be >= 1 and >= 8")
    book = _read()
    chosen = book.choose(limit_characters, limit_drawers)
    clips = np.zeros((len(chosen), frames, size, size), np.uint8)
    for clip, drawing in zip(clips, chosen.tolist(), strict=True):
        book.draw(drawing, clip)
    kept, relabelled = np.unique(book.character[chosen], return_inverse=True)
    gray = torch.from_numpy(clips)[..., None]
    return PenStrokes(
        clips=gray.expand(*gray.shape[:-1], 3).contiguous(),
        character=torch.from_numpy(relabelled.astype(np.int64)),
        alphabet=torch.from_numpy(book.alphabet[book.character[chosen]].astype(np.int64)),
        drawer=torch.from_numpy(book.drawer[chosen].astype(np.int64)),
        character_names=tuple(str(name) for name in book.character_name[kept]),
    )


@dataclass(frozen=True, kw_only=True)
class _Book:
    """Every drawing, its points one after another."""

    points: Float[np.ndarray, "p 2"]  # x right, y down, pixels of the canvas
    milliseconds: Int[np.ndarray, " p"]  # from the previous point, pauses cut
    stroke_begins: Bool[np.ndarray, " p"]
    first_point: Int[np.ndarray, " b_plus_1"]
    character: Int[np.ndarray, " b"]
    drawer: Int[np.ndarray, " b"]
    alphabet: Int[np.ndarray, " characters"]
    character_name: np.ndarray

    def choose(
        self, limit_characters: int | None, limit_drawers: int | None
    ) -> Int[np.ndarray, " chosen"]:
        """Numbers of the drawings within the limits."""
        total = len(self.alphabet)
        count = total if limit_characters is None else min(limit_characters, total)
        kept = np.linspace(0, total - 1, max(count, 0)).round().astype(np.int64)
        chosen = np.isin(self.character, kept)
        if limit_drawers is not None:
            chosen &= self.drawer < limit_drawers
        if not chosen.any():
            raise ValueError(
                f"pen strokes: limit_characters={limit_characters} and "
                f"limit_drawers={limit_drawers} leave no drawing; both must be >= 1"
            )
        return np.flatnonzero(chosen)

    def draw(self, drawing: int, clip: UInt8[np.ndarray, "t h w"]) -> None:
        """Draw into `clip`, which is black."""
        span = slice(self.first_point[drawing], self.first_point[drawing + 1])
        num_frames, size = clip.shape[:2]
        elapsed = np.cumsum(self.milliseconds[span])
        # frame in which a point is reached; ceil - 1 puts the last point into the last frame
        share = elapsed / max(int(elapsed[-1]), 1)
        frame_of_point = np.clip(np.ceil(share * num_frames).astype(np.int64) - 1, 0, None)
        page = np.zeros((_FINER * size, _FINER * size), np.uint8)
        scale = _FINER * size / CANVAS * (1 << _SHIFT)
        positions = np.round(self.points[span] * scale).astype(np.int32)
        begins = self.stroke_begins[span]
        for frame in range(num_frames):
            reached = np.flatnonzero(frame_of_point == frame)
            cv2.polylines(
                page,
                _lines(positions, begins, reached),
                isClosed=False,
                color=255,
                thickness=max(1, round(_FINER * size / 40)),
                lineType=cv2.LINE_AA,
                shift=_SHIFT,
            )
            cv2.resize(page, (size, size), dst=clip[frame], interpolation=cv2.INTER_AREA)


def _lines(
    positions: Int[np.ndarray, "p 2"],
    begins: Bool[np.ndarray, " p"],
    reached: Int[np.ndarray, " r"],
) -> list[Int[np.ndarray, "_ 2"]]:
    """The polylines that end in the reached points, each begun where the pen was before."""
    if not len(reached):
        return []
    runs = np.split(reached, np.flatnonzero(begins[reached[1:]]) + 1)
    # a stroke's first point counts twice: a polyline of one point would leave a dot undrawn
    return [positions[np.concatenate([[run[0] - (not begins[run[0]])], run])] for run in runs]


def _read() -> _Book:
    path = files("worldmodel_train") / "assets" / "omniglot" / "strokes.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    first_point = np.concatenate([[0], np.cumsum(arrays["num_points"], dtype=np.int64)])
    steps = np.stack([arrays["step_x"], arrays["step_y"]], axis=1).astype(np.int64)
    # a running sum over all drawings, less its value where each drawing begins
    walked = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(steps, axis=0)])
    origin = np.repeat(walked[first_point[:-1]], arrays["num_points"], axis=0)
    return _Book(
        points=(walked[1:] - origin) / 4.0,
        milliseconds=np.minimum(arrays["step_ms"], LONGEST_PAUSE_MS).astype(np.int64),
        stroke_begins=arrays["stroke_begins"],
        first_point=first_point,
        character=arrays["character"],
        drawer=arrays["drawer"],
        alphabet=arrays["alphabet"],
        character_name=arrays["character_name"],
    )
