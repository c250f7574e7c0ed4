"""How things fly, fall and bounce in the unit square: x counts to the right, y downwards.

Everything here is a function of arrays with any leading axes, so that many worlds move at once.
All things are discs to physics, whatever they look like; their mass goes with their area. A
rectangle is (left, top, right, bottom); NO_RECTANGLE hides and stops nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from numpy import ndarray

NO_RECTANGLE = (0.0, 0.0, 0.0, 0.0)
"""In the corner, which the middle of no disc comes near."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Things, how they look, and what is around them.

    Leading axes may be 1 where a value is that of all scenes, or of all frames.
    """

    place: Float[ndarray, "*#b k 2"]
    """Of the things' middles."""
    velocity: Float[ndarray, "*#b k 2"]
    """Sides a second."""
    radius: Float[ndarray, "*#b k"]
    """0: the thing is not there."""
    shape: Integer[ndarray, "*#b k"]
    """A place in `ball_pictures.SHAPES`."""
    colour: Float[ndarray, "*#b k 3"]
    """0 to 255."""
    background: UInt8[ndarray, "*#b h w 3"]
    screen: Float[ndarray, "*#b 4"]
    """A rectangle that hides what is behind it."""
    solid: Float[ndarray, "*#b 4"]
    """A rectangle that things bounce off."""
    television: Float[ndarray, "*#b 4"]
    """A rectangle of the background that shows noise."""
    noise: Integer[ndarray, "*#b"]
    """The seed of that noise."""


@dataclass(frozen=True, kw_only=True)
class Laws:
    """What makes velocities change, and how finely time is cut."""

    fps: float
    """Frames a second."""
    gravity: float = 0.0
    """Sides a second, a second, downwards."""
    bounce: float = 1.0
    """Share of the speed kept, across what is hit."""
    substeps: int = 8
    """Of each frame; a thing may move by less than its radius in one."""

    def __post_init__(self) -> None:
        """Raises ValueError where time would not go on, or bouncing would make things faster."""
        if self.fps <= 0 or self.substeps < 1:
            raise ValueError(
                f"fps={self.fps}, substeps={self.substeps}: time needs an fps above 0 and at least "
                "1 substep"
            )
        if not 0 <= self.bounce <= 1:
            raise ValueError(f"bounce={self.bounce} is no share of the speed; use 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Touches:
    """What each thing has run against since the frame before."""

    wall: Bool[ndarray, "*b k"]
    """The border or the solid rectangle."""
    thing: Bool[ndarray, "*b k"]


def mass(state: State) -> Float[ndarray, "*b k"]:
    """The area of the discs, but for a factor."""
    return np.square(state.radius)


def move(state: State, laws: Laws) -> tuple[State, Touches]:
    """Where things are a frame later, how fast, and what they have run against.

    At the end of a frame nothing is outside the square; things that run against several at once may
    overlap by a small part of their radius until the next substeps part them.
    """
    place, velocity = state.place.copy(), state.velocity.copy()
    wall, thing = np.zeros(place.shape[:-1], bool), np.zeros(place.shape[:-1], bool)
    has_solid = bool(state.solid.any())
    seconds = 1 / (laws.fps * laws.substeps)
    for _ in range(laws.substeps):
        place += velocity * seconds
        if laws.gravity:
            place[..., 1] += laws.gravity * seconds**2 / 2
            velocity[..., 1] += laws.gravity * seconds
        for pair in combinations(range(place.shape[-2]), 2):
            _part(place, velocity, thing, state.radius, pair, laws.bounce)
        if has_solid:
            _leave_solid(place, velocity, wall, state, laws.bounce)
        _stay_inside(place, velocity, wall, state.radius, laws.bounce)
    return replace(state, place=place, velocity=velocity), Touches(wall=wall, thing=thing)


def roll(state: State, laws: Laws, frames: int) -> Iterator[tuple[State, Touches]]:
    """The frames from now on; the first is `state` itself, which touches nothing."""
    nothing = np.zeros(state.place.shape[:-1], bool)
    yield state, Touches(wall=nothing, thing=nothing)
    for _ in pairwise(range(frames)):
        state, touches = move(state, laws)
        yield state, touches


def _part(
    place: Float[ndarray, "*b k 2"],
    velocity: Float[ndarray, "*b k 2"],
    touched: Bool[ndarray, "*b k"],
    radius: Float[ndarray, "*#b k"],
    pair: tuple[int, int],
    bounce: float,
) -> None:
    """Two things that overlap come to touch, and bounce off each other if they were nearing."""
    i, j = pair
    apart = place[..., j, :] - place[..., i, :]
    distance = np.sqrt((apart * apart).sum(axis=-1))
    reach = radius[..., i] + radius[..., j]
    meets = (distance < reach) & (radius[..., i] > 0) & (radius[..., j] > 0)
    if not meets.any():
        return
    normal = apart / np.maximum(distance, 1e-12)[..., None]
    heavy_i, heavy_j = radius[..., i] ** 2, radius[..., j] ** 2
    share_i = heavy_j / np.maximum(heavy_i + heavy_j, 1e-12)
    overlap = np.where(meets, reach - distance, 0)
    nearing = ((velocity[..., i, :] - velocity[..., j, :]) * normal).sum(axis=-1)
    hits = meets & (nearing > 0)
    kick = np.where(hits, (1 + bounce) * nearing, 0)
    for k, share, sign in ((i, share_i, -1), (j, 1 - share_i, 1)):
        place[..., k, :] += (sign * share * overlap)[..., None] * normal
        velocity[..., k, :] += (sign * share * kick)[..., None] * normal
        touched[..., k] |= hits


def _leave_solid(
    place: Float[ndarray, "*b k 2"],
    velocity: Float[ndarray, "*b k 2"],
    touched: Bool[ndarray, "*b k"],
    state: State,
    bounce: float,
) -> None:
    """Things that overlap the solid rectangle come to touch it, and bounce off its nearest point.

    What has its middle within leaves by the side towards its place of the frame before.
    """
    low, high = state.solid[..., None, :2], state.solid[..., None, 2:]
    nearest = np.clip(place, low, high)
    apart = place - nearest
    distance = np.sqrt((apart * apart).sum(axis=-1))
    meets = (distance < state.radius) & (state.radius > 0)
    if not meets.any():
        return
    within = distance == 0
    before = state.place - np.clip(state.place, low, high)
    apart = np.where(within[..., None], before, apart)
    normal = apart / np.maximum(np.sqrt((apart * apart).sum(axis=-1)), 1e-12)[..., None]
    outside = np.where(within[..., None], np.clip(state.place, low, high), nearest)
    place[...] = np.where(meets[..., None], outside + state.radius[..., None] * normal, place)
    nearing = -(velocity * normal).sum(axis=-1)
    hits = meets & (nearing > 0)
    velocity += np.where(hits, (1 + bounce) * nearing, 0)[..., None] * normal
    touched |= hits


def _stay_inside(
    place: Float[ndarray, "*b k 2"],
    velocity: Float[ndarray, "*b k 2"],
    touched: Bool[ndarray, "*b k"],
    radius: Float[ndarray, "*#b k"],
    bounce: float,
) -> None:
    """Things that have crossed the border are mirrored at it, and so is their velocity."""
    low = radius[..., None]
    high = 1 - low
    over = (place < low) | (place > high)
    if not over.any():
        return
    mirrored = np.where(place < low, 2 * low - place, 2 * high - place)
    place[...] = np.where(over, np.clip(mirrored, low, high), place)
    outwards = over & ((velocity < 0) == (place < 0.5))
    velocity[...] = np.where(outwards, -bounce * velocity, velocity)
    touched |= outwards.any(axis=-1)
