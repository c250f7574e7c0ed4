"""A folder of `.npz` files: an episode each, or several by a first axis or by where they end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from numpy.lib.npyio import NpzFile

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.trajectories.formats.recording import Recording
from worldmodel_train.data.trajectories.formats.tables import (
    files_of,
    places,
    reading,
    recording,
    split_source,
    table_entries,
)
from worldmodel_train.data.trajectories.verdict import BadEpisode

SUFFIXES = (".npz",)


@dataclass(frozen=True, kw_only=True)
class NpzFiles:
    """Reads them; a file is held in memory while its episodes are read one after the other."""

    root: Path
    arguments: EpisodeArguments

    def entries(self) -> list[Entry]:
        """One for each episode."""
        files = files_of(self.root, SUFFIXES)
        return [e for path in files for e in table_entries(self.root, path, _parts(path))]

    def read(self, source: str) -> Recording:
        """One episode."""
        name, part = split_source(source, SUFFIXES)
        path = self.root if self.root.is_file() else self.root / name
        with reading(path):
            table = _opened(path)
            place = places(table)[int(part or 0)]
            return recording(table, place, source, self.arguments)


def _parts(path: Path) -> list[str] | BadEpisode:
    """What the episodes of a file are called in it: nothing where it is one."""
    try:
        with reading(path):
            count = len(places(_Arrays(path)))
    except BadEpisode as verdict:
        return verdict
    return [""] if count == 1 else [f"{number:06}" for number in range(count)]


class _Arrays(Mapping[str, Shaped[np.ndarray, "..."]]):
    """The arrays of a file, each read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, Shaped[np.ndarray, "..."]] = {}
        with _npz(path) as file:
            self._names = tuple(file.files)

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "..."]:
        if name not in self._read:
            with _npz(self._path) as file:
                self._read[name] = file[name]
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


@contextmanager
def _npz(path: Path) -> Iterator[NpzFile]:
    with path.open("rb") as content:
        file = np.load(content, allow_pickle=False)
        if not isinstance(file, NpzFile):
            raise ValueError("is no npz")
        with file:
            yield file


@lru_cache(maxsize=1)
def _opened(path: Path) -> _Arrays:
    return _Arrays(path)
