"""Windows of episodes, cut where they are read."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float32, Int64, Shaped
from torch import Tensor

from worldmodel_train.batch import Skip
from worldmodel_train.data.clip_reader import decode_sample
from worldmodel_train.data.decoding.crop import CENTER_CROP
from worldmodel_train.data.decoding.decode import ClipRequest, Decoder, ExactFrames
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.feed import EmptyTensors, Feed
from worldmodel_train.data.health import shown
from worldmodel_train.data.random_streams import Stream, generator
from worldmodel_train.data.sample_reader import Drawn, SampleReader
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError, Source
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.cameras import camera_of
from worldmodel_train.data.trajectories.config import ActionScale, TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.facts import (
    EpisodeShapes,
    episode_in,
    first_shapes,
    wanted_files,
)
from worldmodel_train.data.trajectories.kept_episodes import KeptEpisodes
from worldmodel_train.data.trajectories.scaling import normalised
from worldmodel_train.data.trajectories.stored_frames import LOST, StoredFrames
from worldmodel_train.types import Trajectories

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a window has beside its observations."""

    actions: Float32[np.ndarray, "t a"] | Int64[np.ndarray, "t a"]
    states: Float32[np.ndarray, "_ s"] | None
    rewards: Float32[np.ndarray, "t"] | None
    ends: Bool[np.ndarray, "t"] | None


def window_of(episode: Episode, *, start: int, steps: int, frameskip: int) -> Window:
    """The window of `steps` observations, every `frameskip`-th from `start` on.

    What is done between two of them lies behind each other, rewards are added.
    """
    between = slice(start, start + (steps - 1) * frameskip)
    rewards, ends = episode.rewards, episode.ends
    return Window(
        actions=rearrange(episode.actions[between], "(t k) a -> t (k a)", k=frameskip),
        states=None if episode.states is None else episode.states[_shown(start, steps, frameskip)],
        rewards=None if rewards is None else rewards[between].reshape(-1, frameskip).sum(axis=1),
        ends=None
        if ends is None
        else np.logical_or.reduce(ends[between].reshape(-1, frameskip), axis=1),
    )


def window_feed(config: TrajectoriesConfig, shapes: EpisodeShapes) -> Feed[Trajectories]:
    """How the windows of a recipe are loaded."""
    return Feed(
        sources=config.sources,
        loader=config.loader,
        decoder=config.decoder,
        wanted=wanted_files(config),
        open_reader=partial(_open, config, shapes),
    )


def fixed_windows(config: TrajectoriesConfig, source: ShardsConfig, *, limit: int) -> Trajectories:
    """A window of each of up to `limit` episodes, in the order of the shards; bad ones left out.

    Raises ValueError where none is good.
    """
    if source.streams:
        raise ValueError(
            f"data: source '{source.name}' is a stream; held-out episodes need shards on a file "
            "system"
        )
    shapes, files = first_shapes(config), ShardSet(resolve_shards(source))
    windows: list[Window] = []
    frames = _frames(shapes, config.steps, limit)
    with DecodeProcess(config.decoder) as decoder:
        cutter = _Cutter(config, shapes, decoder)
        for number in range(len(files)):
            try:
                sample = files.sample(number, wanted_files(config))
                rng = generator(Stream.CLIP, 0, number)
                episode, sample = cutter.episode(sample), cutter.seen(sample, 0, number)
                windows.append(cutter.cut(episode, sample, rng, frames[len(windows)].numpy()))
            except SampleError as error:
                _log.warning("skipped %s", shown(error.skip))
            if len(windows) == limit:
                break
    if not windows:
        raise ValueError(f"data: source '{source.name}' has no episode that can be used")
    return _stacked(windows, frames[: len(windows)], range(len(windows)), config.actions)


class Windows:
    """A `MicroBatchReader` of windows."""

    def __init__(
        self, config: TrajectoriesConfig, cutter: "_Cutter", samples: SampleReader, *, seed: int
    ) -> None:
        self._cutter = cutter
        self._scale = config.actions
        self._samples = samples
        self._kept = KeptEpisodes(config.kept_mb << 20)
        self._seed = seed

    def read(
        self, samples: range, empty: EmptyTensors
    ) -> tuple[Sequence[Trajectories], tuple[Skip, ...]]:
        """The windows of these samples, and what was left out."""
        frames = self._cutter.frames(len(samples), empty)
        read = [
            self._samples.read(number, partial(self._cut, number, row))
            for number, row in zip(samples, frames.numpy(), strict=True)
        ]
        cut = [window for window, _ in read]
        windows = _stacked(cut, frames, samples, self._scale)
        return [windows], tuple(skip for _, skipped in read for skip in skipped)

    def _cut(self, number: int, row: Shaped[np.ndarray, "t ..."], drawn: Drawn) -> Window:
        def cut(episode: Episode, frames: EncodedSample | StoredFrames | None) -> Window:
            rng = generator(Stream.CLIP, self._seed, number, drawn.attempt)
            return self._cutter.cut(episode, frames, rng, row)

        kept = self._kept.get(drawn)
        if kept is not None:
            with suppress(*LOST):  # what is wrong with the shard is found, and counted, below
                return cut(*kept)
        sample = drawn.read()
        episode = self._cutter.episode(sample)
        if kept is None:
            self._kept.add(drawn, sample, episode)
        return cut(episode, self._cutter.seen(sample, self._seed, number))


def _open(
    config: TrajectoriesConfig,
    shapes: EpisodeShapes,
    sources: Sequence[Source],
    decoder: Decoder,
    seed: int,
) -> Windows:
    samples = SampleReader(config.sources, config.loader, sources, seed=seed)
    return Windows(config, _Cutter(config, shapes, decoder), samples, seed=seed)


class _Cutter:
    """Cuts windows out of episodes that have the run's shapes."""

    def __init__(self, config: TrajectoriesConfig, shapes: EpisodeShapes, decoder: Decoder) -> None:
        self._config = config
        self._shapes = shapes
        self._decoder = decoder

    def frames(self, count: int, empty: EmptyTensors) -> Tensor:
        """Room for the observations of so many windows."""
        if len(self._shapes.observation) == 1:
            return _frames(self._shapes, self._config.steps, count)
        return empty([(count, self._config.steps, *self._shapes.observation)])[0]

    def episode(self, sample: EncodedSample) -> Episode:
        """The sample's episode; raises SampleError where it has no window of the run's shapes."""
        episode = episode_in(sample, self._config)
        if EpisodeShapes.of(episode, self._config.frame_size) != self._shapes:
            raise SampleError(Skip("other_shape", sample.shard, sample.key))
        if episode.length < self._config.span:
            raise SampleError(Skip("too_short", sample.shard, sample.key))
        return episode

    def seen(self, sample: EncodedSample, seed: int, number: int) -> EncodedSample:
        """The sample as the camera sees it whose turn it is; as it is where none is named."""
        if not self._config.cameras:
            return sample
        return sample.seen_by(camera_of(self._config.cameras, seed=seed, number=number))

    def cut(
        self,
        episode: Episode,
        frames: EncodedSample | StoredFrames | None,
        rng: np.random.Generator,
        row: Shaped[np.ndarray, "t ..."],
    ) -> Window:
        """A window of an episode, its observations in `row`; raises SampleError.

        Those that are not among the episode's arrays are in the video of its sample, or stored.
        """
        config = self._config
        start = int(rng.integers(episode.length - config.span + 1))
        shown = _shown(start, config.steps, config.frameskip)
        if episode.observations is not None:
            row[...] = episode.observations[shown]
        elif isinstance(frames, StoredFrames):
            row[...] = frames.read(shown)
        else:
            assert frames is not None, "of an episode with a video nothing is kept"
            numbers = tuple(range(shown.start, shown.stop, shown.step))
            exact = ExactFrames(numbers=numbers, length=episode.length)
            decode_sample(self._decoder, frames, [self._request(exact)], [row])
        return window_of(episode, start=start, steps=config.steps, frameskip=config.frameskip)

    def _request(self, exact: ExactFrames) -> ClipRequest:
        size = self._config.frame_size
        assert size is not None, "videos are read only where a size is given"
        return ClipRequest(
            frames=self._config.steps,
            fps=1.0,
            start=0.0,
            size=size,
            crop=CENTER_CROP,
            max_pixels=self._config.decoder.max_pixels,
            exact=exact,
        )


def _shown(start: int, steps: int, frameskip: int) -> slice:
    """Which observations of an episode a window has."""
    return slice(start, start + (steps - 1) * frameskip + 1, frameskip)


def _frames(shapes: EpisodeShapes, steps: int, count: int) -> Tensor:
    """Memory of its own for the observations of so many windows."""
    dtype = torch.uint8 if len(shapes.observation) == 3 else torch.float32
    return torch.empty((count, steps, *shapes.observation), dtype=dtype)


def _stacked(
    windows: Sequence[Window], frames: Tensor, samples: range, scale: ActionScale | None
) -> Trajectories:
    """The windows of equal shapes as one, their actions scaled."""

    def stack(name: str) -> Tensor | None:
        arrays = [getattr(window, name) for window in windows]
        return None if arrays[0] is None else torch.from_numpy(np.stack(arrays))

    actions = stack("actions")
    assert actions is not None
    return Trajectories(
        observations=frames,
        actions=actions if scale is None else normalised(actions, scale),
        states=stack("states"),
        rewards=stack("rewards"),
        ends=stack("ends"),
        samples=tuple(samples),
    )
