"""Episodes as files of a directory: those of a run, or those that are no shard yet."""

import hashlib
import re
from pathlib import Path

from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.trajectories.episode import ARRAYS, Episode, episode_of
from worldmodel_train.data.trajectories.npz import BadArraysError, read_arrays

_MOST_BYTES = 1 << 34  # of an episode that we have written ourselves
_NAME = re.compile(r"\d{6,}\.npz")


class EpisodeFiles:
    """`<number>.npz`, each as samples of `data/trajectories` have it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, number: int, content: bytes) -> None:
        """Puts an episode in its place, whole or not at all."""
        self._folder.mkdir(exist_ok=True)
        write_atomically(self._path(number), content)

    def read(self, number: int) -> bytes:
        """An episode's file; raises ValueError where there is none."""
        try:
            return self._path(number).read_bytes()
        except OSError as error:
            raise ValueError(f"{self._path(number)} was trained on, and is lost: {error}") from None

    def numbers(self) -> list[int]:
        """Those of the episodes that are there, in order."""
        names = (path.name for path in self._folder.glob("*.npz"))
        return sorted(int(name.removesuffix(".npz")) for name in names if _NAME.fullmatch(name))

    def remove(self, number: int) -> None:
        """Takes an episode away."""
        self._path(number).unlink()

    def forget(self, *, first: int) -> None:
        """Removes the episodes from number `first` on, which no checkpoint knows of.

        So it does with what a kill has left of episodes half written; the run is its only writer.
        """
        for path in self._folder.glob(".*.npz.*.partial"):
            path.unlink()
        for number in self.numbers():
            if number >= first:
                self.remove(number)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.npz"


def episode_in(content: bytes, number: int) -> Episode:
    """The episode of a file; raises ValueError where it is none."""
    try:
        return episode_of(read_arrays(content, ARRAYS, most_bytes=_MOST_BYTES))
    except BadArraysError as error:
        raise ValueError(f"episode {number} of the run is damaged: {error}") from error


def chained(digest: str, content: bytes) -> str:
    """The digest of all files up to this one, given that of those before it."""
    return hashlib.sha256(digest.encode() + content).hexdigest()
