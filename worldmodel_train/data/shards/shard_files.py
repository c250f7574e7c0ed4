"""Paths of a million shards in a few bytes each."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, overload

import numpy as np


class FolderFiles(NamedTuple):
    """Some files of one folder."""

    folder: str
    names: np.ndarray  # bytes, all of one width


class ShardFiles(Sequence[str]):
    """Paths, kept as folders and arrays of names: 16 bytes a shard, not 150."""

    def __init__(self, parts: Iterable[FolderFiles]) -> None:
        self.parts = _without_repeats(parts)
        self._ends = np.cumsum([len(part.names) for part in self.parts], dtype=np.int64)

    @staticmethod
    def of(paths: Iterable[str]) -> "ShardFiles":
        """The same paths."""
        split = (os.path.split(path) for path in paths)
        return ShardFiles(
            FolderFiles(folder, np.array([os.fsencode(name) for _, name in group], dtype="S"))
            for folder, group in groupby(split, key=lambda pair: pair[0])
        )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[str]: ...
    def __getitem__(self, number: int | slice) -> str | Sequence[str]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        part = int(np.searchsorted(self._ends, number, side="right"))
        begin = int(self._ends[part - 1]) if part else 0
        folder, names = self.parts[part]
        return _joined(folder, names[number - begin])

    def __iter__(self) -> Iterator[str]:
        for folder, names in self.parts:
            for name in names:
                yield _joined(folder, name)


def _joined(folder: str, name: bytes) -> str:
    return os.path.join(folder, os.fsdecode(name))  # noqa: PTH118 - a Path costs 20 times as much


def _without_repeats(parts: Iterable[FolderFiles]) -> tuple[FolderFiles, ...]:
    """The parts without names that came before."""
    kept: list[FolderFiles] = []
    before: dict[str, list[np.ndarray]] = {}
    for folder, names in parts:
        first = np.sort(np.unique(names, return_index=True)[1])
        fresh = names[first] if len(first) < len(names) else names
        for earlier in before.setdefault(folder, []):
            fresh = fresh[~np.isin(fresh, earlier)]
        if len(fresh):
            kept.append(FolderFiles(folder, fresh))
            before[folder].append(fresh)
    return tuple(kept)
