"""How far what happens is from what was predicted of it, along a film.

After arXiv 2502.11831: a window slides over the film; from its first tubelets a masked predictor
predicts the latents of the others, and surprise is the mean absolute error.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.masks.past_and_future import past_and_future
from worldmodel_train.protocols import LatentPredictor
from worldmodel_train.types import ClipGroup

Curves: TypeAlias = Float[Tensor, "p n windows"]
"""Surprise in each window of the n films of each set."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is seen at once of a film."""

    frames: int
    tubelet: int
    """Frames; also by how many the window moves on."""
    num_seen: int
    """Tubelets that are context; the others are predicted."""

    @property
    def seen_frames(self) -> int:
        """Frames before the first that is predicted."""
        return self.num_seen * self.tubelet

    def over(self, film: UInt8[Tensor, "t h w c"]) -> UInt8[Tensor, "n f h w c"]:
        """The film's windows."""
        return rearrange(film.unfold(0, self.frames, self.tubelet), "n h w c f -> n f h w c")

    def times(self, film_frames: int) -> tuple[int, ...]:
        """The first frame that is predicted in each window of a film."""
        starts = range(0, film_frames - self.frames + 1, self.tubelet)
        return tuple(start + self.seen_frames for start in starts)


@dataclass(frozen=True, kw_only=True)
class MatchedCurves:
    """Surprise at the possible and at the impossible films of each set, window by window."""

    possible: Curves
    impossible: Curves

    @property
    def relative_by_mean(self) -> Float[Tensor, "p"]:
        """1 where the impossible films surprise more on average over windows, 0 where less.

        1/2 where both surprise alike.
        """
        return _more(self.impossible.mean(dim=(1, 2)), self.possible.mean(dim=(1, 2)))

    @property
    def relative_by_max(self) -> Float[Tensor, "p"]:
        """The same of the most surprising window, averaged over the films of a set."""
        return _more(self.impossible.amax(dim=2).mean(dim=1), self.possible.amax(dim=2).mean(dim=1))


def surprise(films: UInt8[Tensor, "p n t h w c"], window: Window, error: "WindowError") -> Curves:
    """The error in each window of each film."""
    return torch.stack([torch.stack([error(window.over(film)) for film in one]) for one in films])


WindowError: TypeAlias = Callable[[UInt8[Tensor, "n f h w c"]], Float[Tensor, "n"]]
"""How far each of several windows is from what was predicted of it."""


def latent_error(model: LatentPredictor, num_seen: int, batch_size: int) -> WindowError:
    """Mean absolute error of the predicted latents of the tubelets after the first `num_seen`.

    The mask token is that of the first mask group; targets are latents of the whole window.
    """

    def of(clips: UInt8[Tensor, "n f h w c"]) -> Float[Tensor, "n"]:
        with frozen(model) as device:
            batches = (batch.to(device) for batch in clips.split(batch_size))
            return torch.cat([_latent_error(model, batch, num_seen) for batch in batches])

    return of


def _latent_error(
    model: LatentPredictor, clips: UInt8[Tensor, "b t h w c"], num_seen: int
) -> Float[Tensor, "b"]:
    masks = past_and_future(model.token_grid(clips), num_seen, len(clips))
    group = ClipGroup(clips=clips.contiguous(), masks=(masks.map(lambda t: t.to(clips.device)),))
    (pair,) = model.predict(group)
    return (pair.predicted.float() - pair.target.float()).abs().flatten(1).mean(dim=1).cpu()


def pixel_error(num_seen: int, *, slope: int) -> WindowError:
    """Mean absolute error, in pixels of 0 to 1, of an answer that follows from two frames.

    With `slope` 0 it is the last of the `num_seen` frames, with 1 the line through the last two,
    cut off at black and white.
    """

    def of(clips: UInt8[Tensor, "n f h w c"]) -> Float[Tensor, "n"]:
        pixels = clips.float() / 255
        last, before = pixels[:, num_seen - 1, None], pixels[:, num_seen - 2, None]
        ahead = torch.arange(1, clips.shape[1] - num_seen + 1)[:, None, None, None]
        answer = (last + slope * ahead * (last - before)).clamp(0, 1)
        return (answer - pixels[:, num_seen:]).abs().flatten(1).mean(dim=1)

    return of


def binomial_spread(relative: Float[Tensor, "p"]) -> float:
    """The standard deviation of a share found in so many independent sets."""
    share = float(relative.mean())
    return sqrt(share * (1 - share) / len(relative))


def aligned(
    curves: Curves, onset: Sequence[Sequence[int]], times: Sequence[int], tubelet: int
) -> Iterator[tuple[int, float]]:
    """The mean over films at each distance from the violation, in whole tubelets.

    The distance is that of the first tubelet that is predicted from the first frame that differs.
    """
    by_distance: dict[int, list[float]] = {}
    firsts = [first for one in onset for first in one]
    for film, first in zip(curves.flatten(0, 1).tolist(), firsts, strict=True):
        for value, time in zip(film, times, strict=True):
            by_distance.setdefault((time - first) // tubelet, []).append(value)
    for distance, values in sorted(by_distance.items()):
        yield distance, sum(values) / len(values)


def _more(one: Float[Tensor, "p"], other: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
    return (one > other).float() + (one == other).float() / 2
