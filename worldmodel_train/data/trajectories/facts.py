"""The shapes that all episodes of a run share, taken from the first good one."""

from collections.abc import Iterator
from dataclasses import dataclass

from worldmodel_train.batch import Skip
from worldmodel_train.data.health import shown
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_samples import stream_samples
from worldmodel_train.data.shards.wanted_files import (
    EPISODES,
    FILMED_EPISODES,
    WantedFiles,
    video_of,
)
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import (
    Episode,
    read_episode,
)
from worldmodel_train.facts import EpisodeFacts, FrameSize

_MOST_TRIED = 100  # samples without an episode, after which there is likely none


@dataclass(frozen=True, kw_only=True)
class EpisodeShapes:
    """What an episode has, and how wide."""

    observation: tuple[int, ...]
    action_width: int
    """Of one action, whatever the frameskip."""
    discrete_actions: bool
    state_width: int | None
    has_rewards: bool
    has_ends: bool

    @classmethod
    def of(cls, episode: Episode, frame_size: FrameSize | None) -> "EpisodeShapes":
        """The shapes of an episode, as windows have them; of frames in a video, cut to a size."""
        frames = episode.observations
        filmed = () if frame_size is None else (*frame_size, 3)
        return cls(
            observation=filmed if frames is None else frames.shape[1:],
            action_width=episode.actions.shape[1],
            discrete_actions=episode.actions.dtype.kind == "i",
            state_width=None if episode.states is None else episode.states.shape[1],
            has_rewards=episode.rewards is not None,
            has_ends=episode.ends is not None,
        )

    def differences(self, other: "EpisodeShapes") -> Iterator[str]:
        """What is not the other's, one item each."""
        for name, value in vars(self).items():
            if value != getattr(other, name):
                yield f"{name} {value}, not {getattr(other, name)}"

    def facts(self, config: TrajectoriesConfig) -> EpisodeFacts:
        """What a method may know of them."""
        return EpisodeFacts(
            steps=config.steps,
            observation=self.observation,
            action_width=self.action_width * config.frameskip,
            discrete_actions=self.discrete_actions,
            state_width=self.state_width,
            has_rewards=self.has_rewards,
            has_ends=self.has_ends,
        )

    @classmethod
    def known(cls, facts: EpisodeFacts, config: TrajectoriesConfig) -> "EpisodeShapes":
        """The shapes of which these are the facts."""
        return cls(
            observation=facts.observation,
            action_width=facts.action_width // config.frameskip,
            discrete_actions=facts.discrete_actions,
            state_width=facts.state_width,
            has_rewards=facts.has_rewards,
            has_ends=facts.has_ends,
        )


def first_shapes(config: TrajectoriesConfig) -> EpisodeShapes:
    """The shapes of the first good episode of the first source; ValueError where there is none."""
    source = config.sources[0]
    last: Skip | None = None
    for number, sample in enumerate(_samples(source, config)):
        try:
            if isinstance(sample, Skip):
                raise SampleError(sample)
            shapes = EpisodeShapes.of(episode_in(sample, config), config.frame_size)
            _require_suiting_scale(config, shapes)
            return shapes
        except SampleError as error:
            last = error.skip
        if number == _MOST_TRIED:
            break
    why = "it is empty" if last is None else f"the last is {shown(last)}"
    raise ValueError(f"data: source '{source.name}' begins with no episode; {why}")


def good_episodes(config: TrajectoriesConfig) -> Iterator[Episode]:
    """The episodes of all sources, in the order of their shards, but for bad ones.

    Raises ValueError where there is none.
    """
    shapes = first_shapes(config)
    for source in config.sources:
        for sample in _samples(source, config):
            if isinstance(sample, Skip):
                continue
            try:
                episode = episode_in(sample, config)
            except SampleError:
                continue
            if EpisodeShapes.of(episode, config.frame_size) == shapes:
                yield episode


def _require_suiting_scale(config: TrajectoriesConfig, shapes: EpisodeShapes) -> None:
    """Raises ValueError where data.actions is of other actions."""
    if config.actions is None:
        return
    if shapes.discrete_actions:
        raise ValueError("data.actions scales numbers, and these actions are choices; write null")
    given = len(config.actions.mean)
    if given != shapes.action_width:
        raise ValueError(
            f"data.actions scales {given} numbers, and an action has {shapes.action_width}; "
            "use what `wmt data check` prints"
        )


def episode_in(sample: EncodedSample, config: TrajectoriesConfig) -> Episode:
    """The episode of a sample; raises SampleError where its frames are neither here nor there."""
    episode = read_episode(sample, most_bytes=config.episode_mb << 20)
    if episode.observations is None and config.size is None:
        raise SampleError(Skip("missing_array", sample.shard, sample.key))
    return episode


def _samples(source: ShardsConfig, config: TrajectoriesConfig) -> Iterator[EncodedSample | Skip]:
    """The samples of a source in the order of its shards."""
    wanted, shards = wanted_files(config), resolve_shards(source)
    if source.streams:
        for shard in shards:
            outages = Outages(config.loader.stream_retry_s)
            yield from stream_samples(shard, config.loader.stream_timeout_s, outages, wanted)
        return
    files = ShardSet(shards)
    for number in range(len(files)):
        try:
            yield files.sample(number, wanted)
        except SampleError as error:
            yield error.skip


def wanted_files(config: TrajectoriesConfig) -> WantedFiles:
    """What is read of each sample: videos only where a size for their frames is given."""
    if config.size is None:
        return EPISODES
    read = ("npz", *(video_of(camera) for camera in config.cameras))
    return WantedFiles(needed=read, read=read) if config.cameras else FILMED_EPISODES
