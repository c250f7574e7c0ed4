"""Films of which everything is known, in the shape of a run's clips."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.envs.ball_physics import State
from worldmodel_train.envs.balls import Film, FilmShape, Scene, draw_scene, film_many
from worldmodel_train.probes.states import KnownState

DIRECTIONS = 8
_HIDDEN = 0.5  # share of a thing


@dataclass(frozen=True, kw_only=True)
class KnownFilms:
    """Films and what is known of each tubelet of them."""

    clips: UInt8[Tensor, "v f h w c"]
    states: tuple[KnownState, ...]

    @property
    def events(self) -> dict[str, Bool[ndarray, "v t"]]:
        """The states that are or are not."""
        return {state.name: state.values for state in self.states if state.kind == "event"}


def shoot(scene: Scene, shape: FilmShape, tubelet: int, *, count: int, seed: int) -> KnownFilms:
    """`count` films of `scene`, the same for the same arguments; one thing has more known of it.

    The frames of a tubelet are what one token sees.
    """
    generator = np.random.default_rng(seed)
    scenes = [draw_scene(generator, scene, shape.size) for _ in range(count)]
    begun, shot = film_many(scenes, scene.laws(shape.fps), shape.frames)
    states = tuple(
        KnownState(name=name, kind=kind, values=values)
        for name, (kind, values) in _known(shot, begun, scene, tubelet).items()
    )
    return KnownFilms(clips=torch.from_numpy(shot.pictures), states=states)


def _known(film: Film, begun: State, scene: Scene, tubelet: int) -> dict[str, tuple]:
    """Each state's kind and values, of the one thing or of any of several."""
    if scene.things > 1:
        return {
            "collision": ("event", _ever(film.hit_thing, tubelet)),
            "wall contact": ("event", _ever(film.hit_wall, tubelet)),
            "free fall of all": ("event", ~_ever(~film.free, tubelet)),
        }
    velocity = reduce(film.velocity[..., 0, :], "v (t u) c -> v t c", "mean", u=tubelet)
    place = reduce(film.place[..., 0, :], "v (t u) c -> v t c", "mean", u=tubelet)
    angle = np.arctan2(velocity[..., 1], velocity[..., 0]) / (2 * np.pi)
    shapes = np.broadcast_to(begun.shape, place.shape[:2])
    return {
        "hidden behind the screen": ("event", _ever(film.hidden > _HIDDEN, tubelet)),
        "direction": ("class", np.round(angle * DIRECTIONS).astype(int) % DIRECTIONS),
        "shape": ("class", np.array(shapes)),
        "speed": ("value", np.linalg.norm(velocity, axis=-1)),
        "place": ("value", place),
    }


def _ever(happens: Shaped[ndarray, "v f k"], tubelet: int) -> Bool[ndarray, "v t"]:
    """Whether it is so of any thing in any frame of the tubelet."""
    return np.any(rearrange(happens, "v (t u) k -> v t (u k)", u=tubelet), axis=2)
