"""Rooms with doors, and discs in them: how they move, where they are free, what is seen of them.

A disc moves by continuous actions in the unit square, which a wall parts; the wall has one door.
Everything is a function of arrays with any leading axes, so that many worlds are moved and drawn at
once. What is said of `walls` holds for several, one behind the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes in units of the square's side; x counts to the right, y downwards."""

    radius: float = 0.05
    """Of the disc."""
    step: float = 0.1
    """How far an action of 1 moves along an axis."""
    wall: float = 0.06
    """Thickness of the wall."""
    door: float = 0.5
    """y of the middle of the door."""
    door_width: float = 0.24
    """Along y."""
    x: float = 0.5
    """Of the middle of the wall."""

    def __post_init__(self) -> None:
        """Raises ValueError where the disc does not fit through the door, or that in the wall."""
        if self.door_width <= 2 * self.radius:
            raise ValueError(
                f"door_width={self.door_width} lets no disc of radius={self.radius} through; "
                f"use more than {2 * self.radius}"
            )
        half = self.door_width / 2
        if not (half <= self.door <= 1 - half and self.radius > 0):
            raise ValueError(
                f"door={self.door} of door_width={self.door_width} with radius={self.radius} is no "
                f"door in the wall; use a positive radius, and {half:g} to {1 - half:g}"
            )
        room = 2 * self.radius + self.wall / 2
        if not room < self.x < 1 - room:
            raise ValueError(
                f"x={self.x} of the wall leaves a disc of radius={self.radius} no room beside it; "
                f"use more than {room:g} and less than {1 - room:g}"
            )

    @property
    def barrier(self) -> tuple[float, float]:
        """The x between which a disc's middle touches the wall, unless it is in the door."""
        reach = self.wall / 2 + self.radius
        return self.x - reach, self.x + reach

    @property
    def doorway(self) -> tuple[float, float]:
        """The y between which a disc's middle is in the door."""
        reach = self.door_width / 2 - self.radius
        return self.door - reach, self.door + reach


@dataclass(frozen=True, kw_only=True)
class Look:
    """Colours, red, green and blue from 0 to 255."""

    background: Sequence[int] = (255, 255, 255)
    wall: Sequence[int] = (40, 40, 40)
    disc: Sequence[int] = (220, 30, 30)

    def __post_init__(self) -> None:
        """Raises ValueError for what is no colour."""
        for name, colour in vars(self).items():
            parts = tuple(colour)
            if len(parts) != 3 or not all(type(p) is int and 0 <= p <= 255 for p in parts):
                raise ValueError(f"{name}={colour} is no colour; use three numbers from 0 to 255")


LAYOUT, LOOK = Layout(), Look()


def move(
    state: Float[ndarray, "*b 2"], action: Float[ndarray, "*b 2"], layout: Layout
) -> Float[ndarray, "*b 2"]:
    """Where discs are after one action: first along x, then along y, each until something stops it.

    Actions beyond [-1, 1] count as the nearest bound.
    """
    low, high = layout.radius, 1 - layout.radius
    wanted = np.clip(state + layout.step * np.clip(action, -1, 1), low, high)
    return stopped(state, wanted, layout)


def stopped(
    state: Float[ndarray, "*b 2"], wanted: Float[ndarray, "*b 2"], layout: Layout
) -> Float[ndarray, "*b 2"]:
    """How far discs get that want to be at `wanted` after one action: no further than the wall."""
    (left, right), (top, bottom) = layout.barrier, layout.doorway
    x, y = state[..., 0], state[..., 1]
    # Discs within the barrier are in the doorway, and pass; others stop at its near side.
    in_doorway = (top <= y) & (y <= bottom)
    new_x = np.where((x <= left) & ~in_doorway, np.minimum(wanted[..., 0], left), wanted[..., 0])
    new_x = np.where((x >= right) & ~in_doorway, np.maximum(new_x, right), new_x)
    within = (left < new_x) & (new_x < right)
    new_y = np.where(within, np.clip(wanted[..., 1], top, bottom), wanted[..., 1])
    return np.stack((new_x, new_y), axis=-1)


def draw(
    state: Float[ndarray, "*b 2"], layout: Layout, size: int, look: Look = LOOK
) -> UInt8[ndarray, "*b h w 3"]:
    """Pictures of `size` by `size` pixels; edges are blended by how much of a pixel they cover."""
    return draw_between(state, (layout,), size, look)


def draw_between(
    state: Float[ndarray, "*b 2"], walls: Sequence[Layout], size: int, look: Look = LOOK
) -> UInt8[ndarray, "*b h w 3"]:
    """The same with several walls; the disc is as the first says."""
    centre = (np.arange(size) + 0.5) / size
    distance = np.hypot(
        centre - state[..., 0, None, None], centre[:, None] - state[..., 1, None, None]
    )
    disc = np.clip((walls[0].radius - distance) * size + 0.5, 0, 1)[..., None]
    room = _wall_picture(walls, size, look)
    return np.rint(room + disc * (np.array(look.disc) - room)).astype(np.uint8)


def free(state: Float[ndarray, "*b 2"], layout: Layout) -> Bool[ndarray, "*b"] | np.bool_:
    """Whether discs touch neither the wall nor the border."""
    inside = ((layout.radius <= state) & (state <= 1 - layout.radius)).all(axis=-1)
    (left, right), (top, bottom) = layout.barrier, layout.doorway
    x, y = state[..., 0], state[..., 1]
    return inside & ((x <= left) | (x >= right) | ((top <= y) & (y <= bottom)))


def draw_free(generator: np.random.Generator, layout: Layout, count: int) -> Float[ndarray, "b 2"]:
    """Uniform places of discs that touch nothing."""
    places = np.empty((0, 2))
    while len(places) < count:
        drawn = generator.uniform(layout.radius, 1 - layout.radius, (count, 2))
        places = np.concatenate((places, drawn[free(drawn, layout)]))
    return places[:count]


def straight(
    state: Float[ndarray, "*b 2"], goal: Float[ndarray, "*b 2"], layout: Layout
) -> Float[ndarray, "*b 2"]:
    """As far towards the goal as an action moves, by the same share along both axes."""
    wanted = (goal - state) / layout.step
    return wanted / np.maximum(np.abs(wanted).max(axis=-1, keepdims=True), 1)


def toward(
    state: Float[ndarray, "*b 2"], goal: Float[ndarray, "*b 2"], layout: Layout
) -> Float[ndarray, "*b 2"]:
    """What discs do to get to their goals: straight on, through the door where a wall is between.

    The longer axis at full speed; the last action ends at the goal.
    """
    (left, right), (top, bottom) = layout.barrier, layout.doorway
    x, y = state[..., 0], state[..., 1]
    on_the_left = x < layout.x
    across = on_the_left != (goal[..., 0] < layout.x)
    in_doorway = (top <= y) & (y <= bottom)
    # first to the near side of the door, and once before it to the far one
    edge = np.where(on_the_left == in_doorway, right, left)
    before = np.stack((edge, np.full_like(edge, layout.door)), axis=-1)
    return straight(state, np.where(across[..., None], before, goal), layout)


def _wall_picture(walls: Sequence[Layout], size: int, look: Look) -> Float[ndarray, "h w 3"]:
    """The empty rooms, as floats."""
    share = sum(_wall_cover(layout, size) for layout in walls)
    background = np.array(look.background)
    return background + share * (np.array(look.wall) - background.astype(np.float64))


def _wall_cover(layout: Layout, size: int) -> Float[ndarray, "h w 1"]:
    """How much of each pixel is wall."""
    across = _covered(size, layout.x - layout.wall / 2, layout.x + layout.wall / 2)
    half = layout.door_width / 2
    down = 1 - _covered(size, layout.door - half, layout.door + half)
    return (down[:, None] * across)[..., None]


def _covered(size: int, begin: float, end: float) -> Float[ndarray, "size"]:
    """How much of each pixel lies between `begin` and `end`."""
    edges = np.clip(np.arange(size + 1) / size, begin, end)
    return np.diff(edges) * size
