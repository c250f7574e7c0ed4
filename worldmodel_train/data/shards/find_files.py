"""Finds a million named files by listing their folders, not by asking for each."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from worldmodel_train.data.shards.shard_files import FolderFiles, ShardFiles

_WILDCARD = re.compile(r"[*?\[]")
_FEW = 32  # files to ask for one by one; for more, their folder is listed


def find_files(patterns: Iterable[str]) -> Iterator[FolderFiles]:
    """The files that paths and globs name, in that order; a folder stands for its tars.

    Raises FileNotFoundError saying what is missing, or which glob matches nothing.
    """
    split = (os.path.split(pattern) for pattern in patterns)
    for (folder, is_glob), group in groupby(split, key=_kind):
        if is_glob:
            for _, name in group:
                yield from _matches(folder, name)
        else:
            yield from _named(folder, [name for _, name in group])


def list_files(folder: str) -> np.ndarray:
    """The names of a folder's files, sorted, as an array of bytes."""
    with os.scandir(os.fsencode(folder or ".")) as entries:
        names = [entry.name for entry in entries if entry.is_file()]
    return np.sort(np.array(names, dtype="S"))


def _kind(pattern: tuple[str, str]) -> tuple[str, bool]:
    folder, name = pattern
    return folder, bool(_WILDCARD.search(f"{folder}/{name}"))


def _named(folder: str, names: Sequence[str]) -> Iterator[FolderFiles]:
    wanted = np.array([os.fsencode(name) for name in names], dtype="S")
    if len(names) > _FEW and Path(folder or ".").is_dir():
        present = np.isin(wanted, list_files(folder))
    else:
        present = np.array([Path(folder, name).is_file() for name in names])
    if present.all():
        yield FolderFiles(folder, wanted)
        return
    for i, name in enumerate(names):
        path = Path(folder, name)
        if present[i]:
            yield FolderFiles(folder, wanted[i : i + 1])
        elif path.is_dir():
            yield from _matches(str(path), "*.tar")
        else:
            raise FileNotFoundError(f"{path} does not exist")


def _matches(folder: str, name: str) -> Iterator[FolderFiles]:
    pattern = Path(folder, name)
    if "**" in f"{folder}/{name}":
        parts = ShardFiles.of(str(path) for path in _glob(pattern) if path.is_file()).parts
    else:
        folders = map(str, _glob(Path(folder))) if _WILDCARD.search(folder) else [folder]
        parts = [FolderFiles(place, _accepted(place, name)) for place in folders]
    if not any(len(part.names) for part in parts):
        raise FileNotFoundError(f"nothing matches {pattern}{_compressed_hint(pattern)}")
    yield from parts


def _compressed_hint(pattern: Path) -> str:
    """What to do where tars are asked for and only compressed ones are there."""
    found = sorted(pattern.parent.glob("*.tar.gz")) if pattern.suffix == ".tar" else []
    return f", only {found[0].name} and the like: gunzip them" if found else ""


def _glob(pattern: Path) -> list[Path]:
    return sorted(Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor))))


def _accepted(folder: str, pattern: str) -> np.ndarray:
    """The files of a folder that a pattern of their names accepts."""
    if not Path(folder or ".").is_dir():
        return np.array([], dtype="S")
    accept = re.compile(os.fsencode(fnmatch.translate(pattern))).match
    names = list_files(folder)
    return names[[accept(name) is not None for name in names.tolist()]]
