"""Writes episodes as indexed shards, as `data/trajectories` reads them."""

import io
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel_train.data.packing.shard_writer import Files, ShardWriter
from worldmodel_train.data.shards.folder_index import (
    INDEX_FILE,
    IndexedShard,
    write_folder_index,
)
from worldmodel_train.data.shards.tar_index import read_shard_table
from worldmodel_train.data.trajectories.episode import ARRAYS, Episode, episode_of
from worldmodel_train.data.trajectories.npz import BadArraysError

_SHARD = re.compile(r"episodes_(\d{6})\.tar")


def write_episodes(
    folder: Path, episodes: Iterable[Episode], *, per_shard: int = 100
) -> list[Path]:
    """Add episodes to a folder, `per_shard` to a shard; the new shards, in order.

    Shards that are there stay. The folder's index has all of them at the end; a shard that is left
    by a crash before that is read without it.

    Raises:
        ValueError: An episode is none that could be read again; shards before it are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    left = iter(episodes)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".episodes_") as scratch:
        for number in range(max(shard_numbers(folder), default=-1) + 1, 1_000_000):
            group = list(islice(left, per_shard))
            if not group:
                break
            path = folder / shard_name(number)
            samples = (
                episode_sample(first, npz_of(episode), episode.metadata)
                for first, episode in enumerate(group, start=number * per_shard)
            )
            write_shard(path, Path(scratch), samples)
            written.append(path)
    if written:
        index_shards(folder)
    return written


def shard_name(number: int) -> str:
    """What a shard is called."""
    return f"episodes_{number:06}.tar"


def shard_numbers(folder: Path) -> list[int]:
    """Those of the shards that are there, in order."""
    matches = (_SHARD.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def episode_sample(number: int, npz: bytes, metadata: Mapping[str, Any]) -> tuple[str, Files]:
    """Key and files of an episode in its shard."""
    return f"{number:09}", {".npz": npz, ".json": json.dumps(dict(metadata)).encode()}


def write_shard(path: Path, scratch: Path, samples: Iterable[tuple[str, Files]]) -> None:
    """Puts a shard of these samples in its place, whole or not at all; it grows in `scratch`."""
    writer = ShardWriter(path, scratch)
    with ExitStack() as unless_finished:
        unless_finished.callback(writer.abandon)
        for key, files in samples:
            writer.add_files(key, files)
        unless_finished.pop_all()
    writer.finish()


def npz_of(episode: Episode) -> bytes:
    """A file of an episode's arrays, the same for the same ones.

    Raises:
        ValueError: They could not be read again.
    """
    arrays = {name: getattr(episode, name) for name in ARRAYS}
    given = {name: array for name, array in arrays.items() if array is not None}
    try:
        episode_of(given)
    except BadArraysError as error:
        raise ValueError(f"an episode cannot be written: {error}") from error
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **given)
    return file.getvalue()


def index_shards(folder: Path) -> None:
    """Writes the index of all shards of a folder."""
    paths = sorted(folder.glob("*.tar"))
    shards = (IndexedShard(p.name, p.stat().st_size, read_shard_table(p)) for p in paths)
    write_folder_index(folder / INDEX_FILE, shards)
