"""Episodes that a loading process has read, kept so as not to read them again."""

from worldmodel_train.data.sample_reader import Drawn
from worldmodel_train.data.trajectories.episode import Episode


class KeptEpisodes:
    """Episodes up to a number of bytes; those that came first stay.

    Each epoch asks for every episode once, in an order of its own. So the share that is found here
    is the share that has room, which an order of what was used last would not reach.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._episodes: dict[tuple[int, int], Episode] = {}

    def get(self, drawn: Drawn) -> Episode | None:
        """The episode of a sample that was kept."""
        if drawn.number is None:
            return None
        return self._episodes.get((drawn.source, drawn.number))

    def add(self, drawn: Drawn, episode: Episode) -> None:
        """Keeps an episode that is not here yet, where there is room."""
        if drawn.number is None or episode.num_bytes > self._left:
            return
        self._left -= episode.num_bytes
        self._episodes[drawn.source, drawn.number] = episode
