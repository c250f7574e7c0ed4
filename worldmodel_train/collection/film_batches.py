"""Films, rendered by the micro-batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from worldmodel_train.batch import Origin
from worldmodel_train.collection.films import FilmsConfig
from worldmodel_train.data.feed import EmptyTensors
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.rank_batches import RankBatches, ReadSamples, empty_tensors
from worldmodel_train.envs.ball_physics import State
from worldmodel_train.envs.balls import Film, Scene, draw_scene, film_many
from worldmodel_train.protocols import Preparation
from worldmodel_train.types import Clips, ContentT


class FilmBatches(RankBatches[Clips, ContentT]):
    """Micro-batches of films, each rendered when it is asked for."""

    def __init__(
        self,
        config: FilmsConfig,
        prepare: Preparation[ContentT, Clips],
        position: LoaderPosition,
    ) -> None:
        super().__init__(prepare, position)
        self._config = config

    @contextmanager
    def opened(self, worker: int, workers: int) -> Iterator[ReadSamples[Clips]]:
        """Renders films."""
        del worker, workers  # a film hangs on the seed and its number alone
        empty = empty_tensors(self._config.loader.prefetch)
        yield lambda samples: ([self._clips(samples, empty)], Origin(first_sample=samples.start))

    def _clips(self, samples: range, empty: EmptyTensors) -> Clips:
        streams = [generator(Stream.FILM, self._position.seed, sample) for sample in samples]
        states, films = _rendered(self._config, self._config.scene, streams)
        (pixels,) = empty([films.pictures.shape])
        pixels.numpy()[:] = films.pictures
        return Clips(
            pixels=pixels,
            samples=tuple(samples),
            labels=_class_numbers(self._config, self._config.scene, states, films),
            times=_times(self._config, len(samples)),
        )


def held_out_films(config: FilmsConfig, limit: int) -> FixedClips:
    """The first `limit` held-out films, which do not hang on a run's seed."""
    assert limit > 0
    streams = [generator(Stream.HELD_OUT_FILM, number) for number in range(limit)]
    states, films = _rendered(config, config.held_out_scene, streams)
    known = _class_numbers(config, config.held_out_scene, states, films)
    names = config.classes or ()
    return FixedClips(
        clips=torch.from_numpy(films.pictures),
        keys=tuple(f"film_{number:06d}" for number in range(limit)),
        labels=(None,) * limit if known is None else tuple(names[int(n)] for n in known),
        skipped=(),
        times=_times(config, limit),
        class_numbers=known,
    )


def _rendered(
    config: FilmsConfig, scene: Scene, streams: Sequence[np.random.Generator]
) -> tuple[State, Film]:
    """The beginnings drawn from these generators, and what follows from them."""
    states = [draw_scene(stream, scene, config.size) for stream in streams]
    return film_many(states, scene.laws(config.clip.fps), config.clip.frames)


def _class_numbers(
    config: FilmsConfig, scene: Scene, states: State, films: Film
) -> Int64[Tensor, "b"] | None:
    if config.label is None:
        return None
    if config.label == "shape":
        return torch.from_numpy(states.shape[:, 0].astype(np.int64))
    if config.label == "collision":
        return torch.from_numpy(films.hit_thing.any(axis=(1, 2)).astype(np.int64))
    speeds = np.linalg.norm(states.velocity, axis=-1).mean(axis=1)
    return torch.from_numpy((speeds > np.mean(scene.speed)).astype(np.int64))


def _times(config: FilmsConfig, count: int) -> Tensor:
    return torch.tensor(config.clip.offsets, dtype=torch.float32).expand(count, -1).contiguous()
