"""Films of `envs/balls`, and what a person could say of each after having watched it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.typing import ArrayLike
from torch import Tensor

from worldmodel_train.envs.ball_physics import State
from worldmodel_train.envs.balls import Film, FilmShape, Scene, draw_scene, film_many

DIRECTIONS = 8
SPEEDS = 4
_HIDDEN = 0.8
"""Share of a thing behind the screen from which on it counts as hidden."""
_SEED = 0x9E57
"""Films of a run are drawn from streams of their own, so these are unseen by any."""

ONE = Scene(things=1, radius=(0.09, 0.15), gravity=0.0, bounce=1.0, texture=True)
TWO, THREE = (ONE.model_copy(update={"things": number}) for number in (2, 3))
SCREENED = TWO.model_copy(update={"screen": True})


@dataclass(frozen=True, kw_only=True)
class LabelledFilms:
    """Films, and the answers to some questions about each."""

    clips: UInt8[Tensor, "b t h w 3"]
    labels: Mapping[str, Int64[Tensor, "b"]]


def labelled_films(shape: FilmShape, number: int) -> Iterator[LabelledFilms]:
    """Four sets of `number` films each, before random backgrounds, always the same ones.

    Of one thing: its shape, where it is heading and how fast when the film ends, and whether it has
    bounced off the border. Of one to three: how many. Of two: whether they have met. Of two and a
    screen: whether something is behind it when the film ends.
    """
    yield _of_one(*_rendered([ONE], shape, number, seed=0))
    state, films = _rendered([ONE, TWO, THREE], shape, number, seed=1)
    yield _labelled(films, number_of_things=(state.radius > 0).sum(axis=-1) - 1)
    _, films = _rendered([TWO], shape, number, seed=2)
    yield _labelled(films, collision=films.hit_thing.any(axis=(1, 2)))
    _, films = _rendered([SCREENED], shape, number, seed=3)
    yield _labelled(films, something_hidden=(films.hidden[:, -1] > _HIDDEN).any(axis=-1))


def _of_one(state: State, films: Film) -> LabelledFilms:
    x, y = np.moveaxis(films.velocity[:, -1, 0], -1, 0)
    speed = np.hypot(x, y)
    bounds = np.quantile(speed, np.arange(1, SPEEDS) / SPEEDS)
    turn = np.round(np.arctan2(y, x) / (2 * np.pi / DIRECTIONS))
    return _labelled(
        films,
        shape=state.shape[:, 0],
        direction=turn % DIRECTIONS,
        speed=np.searchsorted(bounds, speed),
        bounce=films.hit_wall.any(axis=(1, 2)),
    )


def _labelled(films: Film, **labels: ArrayLike) -> LabelledFilms:
    return LabelledFilms(
        clips=torch.from_numpy(films.pictures),
        labels={
            name.replace("_", " "): torch.from_numpy(np.asarray(values).astype(np.int64))
            for name, values in labels.items()
        },
    )


def _rendered(
    scenes: Sequence[Scene], shape: FilmShape, number: int, *, seed: int
) -> tuple[State, Film]:
    """Films of these scenes in turn; a thing that a scene lacks has the radius 0."""
    generator = np.random.default_rng((_SEED, seed))
    most = max(scene.things for scene in scenes)
    states = [
        _with_things(draw_scene(generator, scenes[i % len(scenes)], shape.size), most)
        for i in range(number)
    ]
    return film_many(states, scenes[0].laws(shape.fps), shape.frames)


def _with_things(state: State, most: int) -> State:
    """The same scene with things that are not there, until there are `most`."""
    missing = most - len(state.radius)
    return replace(
        state,
        place=np.concatenate((state.place, np.full((missing, 2), 0.5))),
        velocity=np.concatenate((state.velocity, np.zeros((missing, 2)))),
        radius=np.concatenate((state.radius, np.zeros(missing))),
        shape=np.concatenate((state.shape, np.zeros(missing, state.shape.dtype))),
        colour=np.concatenate((state.colour, np.zeros((missing, 3)))),
    )
