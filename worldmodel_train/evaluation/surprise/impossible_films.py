"""Sets of films of one scene: in some of them something happens that no world allows.

Each impossible film is the same as a possible one, pixel by pixel, up to the first frame that shows
it. Where there are two of each, the impossible ones show what the possible ones show, in another
order or beside another wall (as in IntPhys, arXiv 1803.07616): what is in the pictures, and how
much of it moves, cannot tell them apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.envs.ball_physics import Laws, State, roll
from worldmodel_train.envs.ball_pictures import SHAPES, draw
from worldmodel_train.envs.balls import (
    FilmShape,
    Scene,
    along_frames,
    draw_scene,
    hidden_share,
    pick,
    stack,
)

ViolationName: TypeAlias = Literal[
    "vanish", "teleport", "pass_wall", "recolour", "reshape", "reverse_gravity",
    "hidden_vanish", "hidden_teleport", "hidden_recolour", "hidden_reshape",
]  # fmt: skip
"""What happens to the first thing (what passes a wall is any); `hidden_`: behind a screen."""
VIOLATIONS: tuple[ViolationName, ...] = get_args(ViolationName)

_AT_ONCE = 32  # scenes drawn together
_MOST = 500  # times so many, without finding a pair
_JUMP = 0.25  # sides that what teleports moves at least


@dataclass(frozen=True, kw_only=True)
class FilmFormat(FilmShape):
    """Films in whose middle something happens."""

    @property
    def middle(self) -> range:
        """The frames of which one is the first that differs: the middle third."""
        return range(self.frames // 3, 2 * self.frames // 3)


@dataclass(frozen=True, kw_only=True)
class FilmSets:
    """Matched films: n possible and n impossible ones in each set."""

    possible: UInt8[Tensor, "p n t h w c"]
    impossible: UInt8[Tensor, "p n t h w c"]
    onset: tuple[tuple[int, ...], ...]
    """Of each set, the first frame in which its n-th films differ."""


_Film: TypeAlias = UInt8[ndarray, "t h w 3"]


@dataclass(frozen=True, kw_only=True)
class _Matched:
    """One set, as a list of possible films and one of impossible films."""

    possible: list[_Film]
    impossible: list[_Film]

    @property
    def onset(self) -> tuple[int, ...]:
        """The first frame in which the n-th films differ; -1 for films that are the same."""
        differs = [
            (one != other).any(axis=(1, 2, 3))
            for one, other in zip(self.possible, self.impossible, strict=True)
        ]
        return tuple(int(frames.argmax()) if frames.any() else -1 for frames in differs)


@dataclass(frozen=True, kw_only=True)
class _Course:
    """What the scenes of a batch become if nothing is done to them."""

    states: Sequence[State]
    place: Float[ndarray, "b t k 2"]
    hidden: Float[ndarray, "b t k"]
    hits: Bool[ndarray, "b t k"]
    """Whether a thing has run against anything since the frame before."""

    @classmethod
    def of(cls, beginnings: State, laws: Laws, frames: int) -> "_Course":
        """The course of these scenes."""
        states, touches = zip(*roll(beginnings, laws, frames), strict=True)
        filmed = along_frames(states)
        return cls(
            states=states,
            place=filmed.place,
            hidden=hidden_share(filmed),
            hits=np.stack([touch.wall | touch.thing for touch in touches], axis=1),
        )

    def scene(self, number: int) -> list[State]:
        """The frames of one of the scenes."""
        return [pick(state, number) for state in self.states]


def film_sets(
    violation: ViolationName, scene: Scene, shot: FilmFormat, *, count: int, seed: int
) -> FilmSets:
    """`count` sets, the same for the same arguments; `scene` gets the screen or wall it needs.

    Raises ValueError where scenes are such that it hardly ever happens in the middle of a film.
    """
    generator = np.random.default_rng([seed, VIOLATIONS.index(violation)])
    around = {"screen": violation.startswith("hidden_"), "solid": violation == "pass_wall"}
    drawn = _matched(violation, scene.model_copy(update=around), shot, generator)
    found = list(islice(drawn, count))
    if len(found) < count:
        raise ValueError(
            f"violation_of_expectation: {violation} happens in {len(found)} of "
            f"{_MOST * _AT_ONCE} scenes, and {count} are wanted; use faster things "
            "(scene.speed), or leave it out of violations"
        )
    return FilmSets(
        possible=torch.from_numpy(np.stack([np.stack(one.possible) for one in found])),
        impossible=torch.from_numpy(np.stack([np.stack(one.impossible) for one in found])),
        onset=tuple(one.onset for one in found),
    )


def _matched(
    violation: ViolationName, scene: Scene, shot: FilmFormat, generator: np.random.Generator
) -> Iterator[_Matched]:
    laws = scene.laws(shot.fps)
    for _ in range(_MOST):
        drawn = [draw_scene(generator, scene, shot.size) for _ in range(_AT_ONCE)]
        course = _Course.of(stack(drawn), laws, shot.frames)
        match violation:
            case "pass_wall":
                found = _through_walls(course, laws, shot)
            case "reverse_gravity":
                found = _upwards(course, laws, shot, generator)
            case _:
                others = stack([_otherwise(violation, one, generator) for one in drawn])
                other = _Course.of(others, laws, shot.frames)
                found = _swapped(violation, (course, other), shot, generator)
        yield from (one for one in found if all(first in shot.middle for first in one.onset))


def _swapped(
    violation: ViolationName,
    courses: tuple[_Course, _Course],
    shot: FilmFormat,
    generator: np.random.Generator,
) -> Iterator[_Matched]:
    """Films that change over, at a moment, to another film of the same scene."""
    one, other = courses
    for number in range(_AT_ONCE):
        moment = _moment(violation, one.hidden[number, :, 0], shot.middle, generator)
        jump = one.place[number, moment, 0] - other.place[number, moment, 0]
        hidden = other.hidden[number, moment, 0] == 1 or not violation.startswith("hidden_")
        apart = not violation.endswith("teleport") or np.linalg.norm(jump) > _JUMP
        alike = np.array_equal(one.place[number, :, 1:], other.place[number, :, 1:])
        if moment and hidden and apart and alike:
            a, b = one.scene(number), other.scene(number)
            yield _Matched(
                possible=[_film(a), _film(b)],
                impossible=[_film(a[:moment] + b[moment:]), _film(b[:moment] + a[moment:])],
            )


def _moment(
    violation: ViolationName,
    hidden: Float[ndarray, "t"],
    middle: range,
    generator: np.random.Generator,
) -> int:
    """The frame at which what cannot be begins; 0 where it does not suit the scene."""
    if not violation.startswith("hidden_"):
        return int(generator.choice(middle))
    return int((hidden == 1).argmax()) if hidden[0] == 0 else 0


def _otherwise(violation: ViolationName, state: State, generator: np.random.Generator) -> State:
    """The same beginning with another first thing."""
    match violation.removeprefix("hidden_"):
        case "vanish":
            return replace(state, radius=_with_first(state.radius, 0.0))
        case "recolour":
            colour = state.colour[0]
            opposite = colour.max() + colour.min() - colour
            return replace(state, colour=_with_first(state.colour, opposite))
        case "reshape":
            other = (state.shape[0] + generator.integers(1, len(SHAPES))) % len(SHAPES)
            return replace(state, shape=_with_first(state.shape, other))
        case _:
            x, y = state.place[0]
            room = 1 - 2 * state.radius[0]
            shifted = (y - state.radius[0] + generator.uniform(0.4, 0.6) * room) % room
            place = np.array((x, state.radius[0] + shifted))
            return replace(state, place=_with_first(state.place, place))


def _through_walls(walled: _Course, laws: Laws, shot: FilmFormat) -> Iterator[_Matched]:
    """Things that bounce off a wall or fly on where there is none, and the other way round."""
    nothing = np.zeros_like(walled.states[0].solid)
    open_space = _Course.of(replace(walled.states[0], solid=nothing), laws, shot.frames)
    for number in range(_AT_ONCE):
        bounced, passed = walled.scene(number), open_space.scene(number)
        with_wall = [replace(state, solid=bounced[0].solid) for state in passed]
        without = [replace(state, solid=passed[0].solid) for state in bounced]
        yield _Matched(
            possible=[_film(bounced), _film(passed)],
            impossible=[_film(with_wall), _film(without)],
        )


def _upwards(
    course: _Course, laws: Laws, shot: FilmFormat, generator: np.random.Generator
) -> Iterator[_Matched]:
    """Things that begin to fall upwards in mid-air; there is no possible film that shows this."""
    for number in range(_AT_ONCE):
        moment = int(generator.choice(shot.middle))
        near = course.hits[number, moment - 1 : moment + 2]
        if near.any() or not 0.25 < course.place[number, moment, 0, 1] < 0.75:
            continue
        states = course.scene(number)
        reversed_laws = replace(laws, gravity=-laws.gravity)
        later = [state for state, _ in roll(states[moment], reversed_laws, shot.frames - moment)]
        yield _Matched(possible=[_film(states)], impossible=[_film(states[:moment] + later)])


def _film(states: Sequence[State]) -> _Film:
    return draw(along_frames(states))


def _with_first(values: ndarray, first: object) -> ndarray:
    changed = values.copy()
    changed[0] = first
    return changed
