"""Films with a noisy television: what moves as it must is known of each tubelet, and the noise."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from worldmodel_train.envs.balls import FilmShape, Scene, draw_scene, film_many
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.masks.past_and_future import halves
from worldmodel_train.probes.states import KnownState
from worldmodel_train.protocols import LatentPredictor
from worldmodel_train.types import ClipGroup

_SEED = 0x7E1E
"""Films of a run are drawn from streams of their own, so these are unseen by any."""


_CELLS = (4, 4)
_BATCH = 32


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

    def later(self, moments: int) -> tuple[KnownState, ...]:
        """Both, of the last so many tubelets."""
        return tuple(replace(state, values=state.values[:, -moments:]) for state in self.states)


def noisy_films(shape: FilmShape, tubelet: int, *, count: int, television: float) -> NoisyFilms:
    """`count` films of one thing and a television of that side, always the same ones.

    Values are means over the frames of a tubelet. The television is always at the same place, so
    that a linear map finds it; a run's own may be anywhere.
    """
    scene = Scene(
        things=1, radius=(0.09, 0.15), gravity=0.0, bounce=1.0, texture=True, television=television
    )
    generator = np.random.default_rng(_SEED)
    drawn = [draw_scene(generator, scene, shape.size) for _ in range(count)]
    begun = [replace(state, television=drawn[0].television) for state in drawn]
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


def cells_of_moments(volume: Float[Tensor, "v t y x d"]) -> Float[ndarray, "v t e"]:
    """Sixteen means for each tubelet, of the cells of 4 by 4."""
    flat = rearrange(volume, "v t y x d -> (v t) d y x")
    pooled = adaptive_avg_pool2d(flat, _CELLS)
    return rearrange(pooled, "(v t) d y x -> v t (y x d)", v=len(volume)).numpy()


def foreseen(
    model: LatentPredictor, clips: UInt8[Tensor, "v f h w c"]
) -> Float[Tensor, "v t y x d"]:
    """What is predicted of the later half of the tubelets by one who has seen the first alone."""
    grid = model.token_grid(clips[:1])
    predicted = []
    with frozen(model) as device:
        for batch in clips.split(_BATCH):
            group = ClipGroup(clips=batch, masks=(halves(grid, len(batch)),))
            (pair,) = model.predict(group.map(lambda tensor: tensor.to(device)))
            predicted.append(pair.predicted[:, 0].float().cpu())
    return rearrange(torch.cat(predicted), "v (t y x) d -> v t y x d", y=grid.height, x=grid.width)
