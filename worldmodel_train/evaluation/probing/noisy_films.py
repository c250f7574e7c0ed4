"""Films with a noisy television: what moves as it must is known of each tubelet, and the noise."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.envs.balls import FilmShape, Scene, draw_scene, film_many
from worldmodel_train.probes.states import KnownState

_SEED = 0x7E1E
"""Films of a run are drawn from streams of their own, so these are unseen by any."""


@dataclass(frozen=True, kw_only=True)
class NoisyFilms:
    """Films, and what is known of each of their tubelets."""

    clips: UInt8[Tensor, "v f h w 3"]
    signal: tuple[KnownState, ...]
    """Where the thing is and how fast it moves: tells what comes."""
    noise: tuple[KnownState, ...]
    """Of the television's picture; tells nothing."""

    @property
    def states(self) -> tuple[KnownState, ...]:
        """Both."""
        return self.signal + self.noise


def noisy_films(shape: FilmShape, tubelet: int, *, count: int, television: float) -> NoisyFilms:
    """`count` films of one thing and a television of that side, always the same ones.

    Values are means over the frames of a tubelet.
    """
    scene = Scene(
        things=1, radius=(0.09, 0.15), gravity=0.0, bounce=1.0, texture=True, television=television
    )
    generator = np.random.default_rng(_SEED)
    begun = [draw_scene(generator, scene, shape.size) for _ in range(count)]
    _, films = film_many(begun, scene.laws(shape.fps), shape.frames)
    values = {
        "place": films.place[..., 0, :],
        "velocity": films.velocity[..., 0, :],
        "television": films.television,
    }
    place, velocity, shown = (
        KnownState(
            name=name,
            kind="value",
            values=reduce(value, "v (t u) c -> v t c", "mean", u=tubelet),
        )
        for name, value in values.items()
    )
    return NoisyFilms(
        clips=torch.from_numpy(films.pictures), signal=(place, velocity), noise=(shown,)
    )
