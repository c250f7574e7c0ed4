"""Things that fly, fall, bounce off walls and each other, and pass behind a screen, as films.

A `Scene` says what may happen; `draw_scene` draws a beginning, `film` shows what comes of it
together with all that is known of each frame. `ball_physics` moves, `ball_pictures` draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.envs.ball_physics import NO_RECTANGLE, Laws, State, Touches, roll
from worldmodel_train.envs.ball_pictures import PLAIN, SHAPES, draw, texture
from worldmodel_train.envs.television import CELLS, mean_colours, with_noise

_AT_ONCE = 64  # films drawn together: more need more memory and are no faster


class Scene(StrictConfig):
    """What is drawn at random for a film, and between which bounds."""

    things: int = Field(ge=1, default=2)
    """How many things fly."""
    fewest: int | None = Field(ge=1, default=None)
    """As many at least, and at most `things`, each number alike; null: always `things`."""
    shapes: int = Field(ge=1, le=len(SHAPES), default=len(SHAPES))
    """How many of the shapes there are; 1: discs only."""
    radius: tuple[float, float] = (0.07, 0.12)
    """Least and most radius of a thing, in sides of the picture."""
    speed: tuple[float, float] = (0.3, 0.8)
    """Least and most speed at the beginning, in sides a second."""
    gravity: float = 0.5
    """Downwards, in sides a second, a second; 0: things fly straight."""
    bounce: float = Field(ge=0, le=1, default=0.9)
    """Share of the speed that a bounce keeps."""
    screen: bool = False
    """Whether a rectangle hides a part of the picture."""
    solid: bool = False
    """Whether a wall stands on the floor."""
    texture: bool = False
    """Whether the background is a smooth random picture instead of plain."""
    television: float = Field(ge=0, le=0.625, default=0.0)
    """Side of a patch of the background that shows other noise in each frame, in sides of the
    picture, rounded to whole cells of an eighth; 0: there is none."""

    @model_validator(mode="after")
    def _things_find_room(self) -> "Scene":
        for name, lowest in (("radius", 0.01), ("speed", 0.0)):
            low, high = getattr(self, name)
            if not lowest <= low <= high:
                raise ValueError(f"{name}=[{low}, {high}] must be [least, most], from {lowest} on")
        if self.fewest is not None and self.fewest > self.things:
            raise ValueError(f"fewest={self.fewest} is more than things={self.things}; use fewer")
        if self.things * (2 * self.radius[1]) ** 2 > 0.3:
            raise ValueError(
                f"things={self.things} of a radius up to {self.radius[1]} leave each other no "
                "room; use fewer or smaller ones"
            )
        return self

    def laws(self, fps: float) -> Laws:
        """How things move, at so many frames a second."""
        return Laws(fps=fps, gravity=self.gravity, bounce=self.bounce)


@dataclass(frozen=True, kw_only=True)
class FilmShape:
    """How films are shown."""

    frames: int
    size: int
    """Height and width in pixels."""
    fps: float


@dataclass(frozen=True, kw_only=True)
class Film:
    """Pictures, and what is known of each thing in each of them."""

    pictures: UInt8[ndarray, "*b t h w 3"]
    place: Float[ndarray, "*b t k 2"]
    velocity: Float[ndarray, "*b t k 2"]
    hidden: Float[ndarray, "*b t k"]
    """The share of a thing's disc that the screen hides."""
    hit_wall: Bool[ndarray, "*b t k"]
    """Whether it ran against the border or the wall since the frame before."""
    hit_thing: Bool[ndarray, "*b t k"]
    """Whether it ran against another thing since the frame before."""
    television: Float[ndarray, "*b t 3"]
    """The mean colour of the television's noise, from 0 to 1; 0 where there is none."""

    @property
    def free(self) -> Bool[ndarray, "*b t k"]:
        """Whether only gravity moved it since the frame before."""
        return ~(self.hit_wall | self.hit_thing)

    @property
    def visible(self) -> Bool[ndarray, "*b t k"]:
        """Whether some of it is not behind the screen."""
        return self.hidden < 1


def draw_scene(generator: np.random.Generator, scene: Scene, size: int) -> State:
    """A beginning, without leading axes: no two things overlap, none is in the wall."""
    screen = _draw_screen(generator) if scene.screen else np.array(NO_RECTANGLE)
    solid = _draw_solid(generator) if scene.solid else np.array(NO_RECTANGLE)
    radius = generator.uniform(*scene.radius, scene.things)
    angle = generator.uniform(0, 2 * np.pi, scene.things)
    speed = generator.uniform(*scene.speed, scene.things)
    plain = np.broadcast_to(np.array(PLAIN, np.uint8), (size, size, 3))
    state = State(
        place=_draw_places(generator, radius, solid),
        velocity=speed[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1),
        radius=radius,
        shape=generator.integers(scene.shapes, size=scene.things),
        colour=_draw_colours(generator, scene.things),
        background=texture(generator, size) if scene.texture else plain,
        screen=screen,
        solid=solid,
        television=np.array(NO_RECTANGLE),
        noise=np.zeros((), np.int64),
    )
    if scene.fewest is not None:
        there = generator.integers(scene.fewest, scene.things, endpoint=True)
        state = without(state, np.arange(scene.things) >= there)
    # last, so that films without one are those that they were before there were any
    return _with_television(generator, state, scene.television) if scene.television else state


def without(state: State, things: Bool[ndarray, "*b k"]) -> State:
    """The same scene in which these things are not there."""
    return replace(state, radius=np.where(things, 0.0, state.radius))


def stack(states: Sequence[State]) -> State:
    """Several scenes as one, along a new first axis."""
    names = [field.name for field in fields(State)]
    return State(**{name: np.stack([getattr(state, name) for state in states]) for name in names})


def pick(states: State, number: int) -> State:
    """One of the scenes along the first axis."""
    return State(**{field.name: getattr(states, field.name)[number] for field in fields(State)})


def film(state: State, laws: Laws, frames: int) -> Film:
    """What follows from `state`, which is the first frame, along a new axis after the leading."""
    states, touches = zip(*roll(state, laws, frames), strict=True)
    return show(along_frames(states), touches)


def film_many(states: Sequence[State], laws: Laws, frames: int) -> tuple[State, Film]:
    """What follows from each of these beginnings, along a new first axis, and they along it too."""
    parts = [
        film(stack(states[first : first + _AT_ONCE]), laws, frames)
        for first in range(0, len(states), _AT_ONCE)
    ]
    names = [field.name for field in fields(Film)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return stack(states), Film(**joined)


def along_frames(states: Sequence[State]) -> State:
    """States of one film with an axis of frames; what cannot change has 1 frame."""
    place, velocity, radius, colour, shape = (
        np.stack([getattr(state, name) for state in states], axis=-tail)
        for name, tail in (
            ("place", 3),
            ("velocity", 3),
            ("radius", 2),
            ("colour", 3),
            ("shape", 2),
        )
    )
    first = states[0]
    return State(
        place=place,
        velocity=velocity,
        radius=radius,
        colour=colour,
        shape=shape,
        background=with_noise(first, len(states)),
        screen=first.screen[..., None, :],
        solid=first.solid[..., None, :],
        television=first.television[..., None, :],
        noise=first.noise[..., None],
    )


def show(states: State, touches: Sequence[Touches]) -> Film:
    """The film of states with an axis of frames, each of which has its touches."""
    return Film(
        pictures=draw(states),
        place=states.place,
        velocity=states.velocity,
        hidden=hidden_share(states),
        hit_wall=np.stack([touch.wall for touch in touches], axis=-2),
        hit_thing=np.stack([touch.thing for touch in touches], axis=-2),
        television=mean_colours(states, len(touches)),
    )


def hidden_share(state: State) -> Float[ndarray, "*b k"]:
    """The share of each disc that lies behind the screen, to about 1 in 64."""
    turn = np.arange(64) * np.pi * (3 - 5**0.5)
    reach = np.sqrt((np.arange(64) + 0.5) / 64)
    in_disc = reach[:, None] * np.stack((np.cos(turn), np.sin(turn)), axis=-1)
    points = state.place[..., None, :] + state.radius[..., None, None] * in_disc
    low, high = state.screen[..., None, None, :2], state.screen[..., None, None, 2:]
    return ((low <= points) & (points < high)).all(axis=-1).mean(axis=-1)


def _draw_screen(generator: np.random.Generator) -> Float[ndarray, "4"]:
    """Over the whole height, so that what flies behind it comes out at the other side."""
    width = generator.uniform(0.25, 0.4)
    left = generator.uniform(0.2, 0.8 - width)
    return np.array((left, 0.0, left + width, 1.0))


def _draw_solid(generator: np.random.Generator) -> Float[ndarray, "4"]:
    """On the floor, below the ceiling by more than what flies over it needs."""
    left = generator.uniform(0.4, 0.52)
    return np.array((left, generator.uniform(0.4, 0.6), left + 0.08, 1.0))


def _with_television(generator: np.random.Generator, state: State, side: float) -> State:
    """One of whole cells somewhere in the picture."""
    cells = max(1, round(side * CELLS))
    corner = generator.integers(CELLS - cells + 1, size=2) / CELLS
    return replace(
        state,
        television=np.concatenate((corner, corner + cells / CELLS)),
        noise=np.asarray(generator.integers(2**62)),
    )


def _draw_places(
    generator: np.random.Generator, radius: Float[ndarray, "k"], solid: Float[ndarray, "4"]
) -> Float[ndarray, "k 2"]:
    """One after the other, each where it touches nothing; all anew where one finds no room."""
    while True:
        places = np.empty((0, 2))
        for reach in radius:
            drawn = generator.uniform(reach, 1 - reach, (32, 2))
            gap = np.hypot(*(drawn[:, None] - places).transpose(2, 0, 1))
            fits = (gap > reach + radius[: len(places)]).all(axis=1)
            fits &= np.hypot(*(drawn - np.clip(drawn, solid[:2], solid[2:])).T) > reach
            if not fits.any():
                break
            places = np.concatenate((places, drawn[fits][:1]))
        if len(places) == len(radius):
            return places


def _draw_colours(generator: np.random.Generator, things: int) -> Float[ndarray, "k 3"]:
    """Strong colours of random hue, none of them a grey."""
    hue = (generator.uniform() + np.arange(things) / things + generator.uniform(0, 0.3)) % 1
    strength = np.clip(np.abs((6 * hue[:, None] + np.array((0, 4, 2))) % 6 - 3) - 1, 0, 1)
    return 255 * generator.uniform(0.6, 0.9, (things, 1)) * strength
