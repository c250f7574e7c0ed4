"""Episodes that a loading process has read, kept so as not to read them again."""

from dataclasses import replace
from typing import NamedTuple

from worldmodel_train.data.sample_reader import Drawn
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.stored_frames import StoredFrames, stored_frames

_OVERHEAD = 2048  # bytes of an episode beside its arrays
_WHOLE = 7 / 8  # of the room, for whole episodes; the rest is for those without their pictures


class Kept(NamedTuple):
    """An episode that was read and found good; its pictures may have stayed in the shard."""

    episode: Episode
    frames: StoredFrames | None


class KeptEpisodes:
    """Episodes up to a number of bytes: whole ones, then where the pictures of others lie.

    Those that came first stay. Each epoch asks for every episode once, in an order of its own, so
    the share that is found here is the share that has room; giving up what was used longest ago
    would find less.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._reserved = int(most_bytes * (1 - _WHOLE))
        self._episodes: dict[tuple[int, int], Kept] = {}

    def get(self, drawn: Drawn) -> Kept | None:
        """The episode of a sample, if it was kept."""
        if drawn.number is None:
            return None
        return self._episodes.get((drawn.source, drawn.number))

    def add(self, drawn: Drawn, sample: EncodedSample, episode: Episode) -> None:
        """Keeps an episode where there is room; none of a stream, and none with a video."""
        if drawn.number is None or episode.observations is None:
            return
        kept: Kept | None = Kept(episode, None)
        if episode.num_bytes + _OVERHEAD > self._left - self._reserved:
            kept = _without_pictures(sample, episode)
        if kept is None or kept.episode.num_bytes + _OVERHEAD > self._left:
            return
        self._left -= kept.episode.num_bytes + _OVERHEAD
        self._episodes[drawn.source, drawn.number] = kept


def _without_pictures(sample: EncodedSample, episode: Episode) -> Kept | None:
    frames = stored_frames(sample, episode)
    return None if frames is None else Kept(replace(episode, observations=None), frames)
