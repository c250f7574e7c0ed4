"""What the chapters of an atlas are made of, read once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.envs.balls import FilmShape, Scene
from worldmodel_train.evaluation.atlas.films import KnownFilms, shoot
from worldmodel_train.evaluation.atlas.tubelets import token_volume
from worldmodel_train.evaluation.frozen import Contestants
from worldmodel_train.evaluation.task import HoldsOutClips, Subject
from worldmodel_train.protocols import Encoder

SCENES = {
    "one thing and a screen": Scene(things=1, screen=True),
    "two things": Scene(things=2),
}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is made for an atlas."""

    films: int = 480
    """Of each scene."""
    clips: int = 128
    """Of the run's own held-out ones, at most."""
    splits: int = 3
    dictionary_steps: int = 400
    cards: int = 12
    """Features that are shown."""
    states: int = 12
    """Of the transition graph."""
    edited: int = 48
    """Films of each scene whose first half is edited, at most a quarter of them."""


@dataclass(frozen=True, kw_only=True)
class Filmed:
    """Films of one scene, and what both encoders make of them."""

    films: KnownFilms
    trained: Float[Tensor, "v t y x d"]
    untrained: Float[Tensor, "v t y x d"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that is read of a run."""

    models: Contestants[Encoder]
    filmed: dict[str, Filmed]
    """By the scene's name."""
    own_clips: UInt8[Tensor, "v f h w c"]
    own: Float[Tensor, "v t y x d"]
    effort: Effort


def gather(subject: Subject, effort: Effort) -> Material:
    """Films in the shape of the run's clips, the run's own clips, and the latents of both.

    Raises:
        ValueError: The method is no encoder, or its clips are not square.
    """
    if not isinstance(subject.trained, Encoder):
        raise ValueError(f"method {subject.method} encodes no clips; an atlas needs an encoder")
    if not isinstance(subject.data, HoldsOutClips):
        raise ValueError("data holds out no clips; an atlas needs data of videos with held_out")
    models = Contestants.of(subject, Encoder)
    held_out = subject.held_out_clips(limit=effort.clips, clips_per_video=4)
    _, frames, height, width, _ = held_out.clips.shape
    if height != width:
        raise ValueError(f"clips are {height} x {width} pixels; an atlas needs square ones")
    tubelet = frames // models.trained.token_grid(held_out.clips[:1]).frames
    shape = FilmShape(frames=frames, size=height, fps=subject.clip_data.held_out_fps)
    filmed = {}
    for seed, (name, scene) in enumerate(SCENES.items()):
        films = shoot(scene, shape, tubelet, count=effort.films, seed=seed)
        trained, untrained = (token_volume(model, films.clips) for _, model in models)
        filmed[name] = Filmed(films=films, trained=trained, untrained=untrained)
    own = token_volume(models.trained, held_out.clips)
    return Material(models=models, filmed=filmed, own_clips=held_out.clips, own=own, effort=effort)


def main_plane(latents: Float[ndarray, "s d"]) -> tuple[Shaped[ndarray, "d 2"], ndarray]:
    """The two directions in which latents vary most, and their mean."""
    mean = latents.mean(axis=0)
    _, _, directions = np.linalg.svd(latents - mean, full_matrices=False)
    return directions[:2].T, mean
