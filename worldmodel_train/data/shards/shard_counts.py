"""How many samples each shard has and where the index has their places; a scan where none says."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldmodel_train.config.json_text import JsonError, parse_json
from worldmodel_train.data.shards.find_files import list_files
from worldmodel_train.data.shards.folder_index import (
    INDEX_FILE,
    VERSION,
    Directory,
    read_directory,
)
from worldmodel_train.data.shards.shard_files import FolderFiles, ShardFiles
from worldmodel_train.data.shards.tar_index import read_shard_table

_log = logging.getLogger(__name__)

INDEX_NAME = "index.json"
INDEX_VERSION = 1
UNKNOWN = -1
_MOST = 1 << 60  # bytes or samples of one folder


class ShardCounts(NamedTuple):
    """What is known of each shard before it is opened: 32 bytes a shard."""

    samples: np.ndarray
    sizes: np.ndarray
    """Bytes of the file by its index; UNKNOWN where the shard was scanned."""
    places: np.ndarray
    """Where the folder's index has its rows; UNKNOWN where it has none."""
    versions: np.ndarray
    """Of that index."""


def read_index(folder: Path) -> Directory | None:
    """What the index of a folder says of its shards; None if there is none.

    `samples.idx` where there is one, else `index.json`, which knows no places.
    """
    if (folder / INDEX_FILE).is_file():
        directory = read_directory(folder / INDEX_FILE)
        if directory.version < VERSION:
            _log.warning(
                "%s is of version %d, whose rows have no checksums; make it again with "
                "`wmt data index %s`",
                folder / INDEX_FILE,
                directory.version,
                folder,
            )
        return directory
    path = folder / INDEX_NAME
    if not path.is_file():
        return None
    try:
        index = parse_json(path.read_bytes(), path)
    except JsonError as error:
        raise ValueError(_unusable(str(error))) from None
    try:
        if not isinstance(index, dict) or not {"version", "shards"} <= index.keys():
            _log.warning("%s is not an index of shards; scanning the shards beside it", path)
            return None
        version = index["version"]
        directory = _directory(index["shards"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(_unusable(f"{path}: is not an index of shards ({error!r})")) from error
    if version != INDEX_VERSION:
        raise ValueError(f"{path} has version {version}; this program reads {INDEX_VERSION}")
    return directory


def _unusable(why: str) -> str:
    return f"{why}; make it again with `wmt data pack`, or delete it to have the shards scanned"


def _directory(shards: list[dict[str, object]]) -> Directory:
    rows = sorted(
        (str(shard["name"]).encode(), int(str(shard["bytes"])), int(str(shard["samples"])))
        for shard in shards
    )
    numbers = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 2)
    if (numbers < 0).any() or numbers.sum(dtype=np.float64) > _MOST:
        raise ValueError("it counts what no disk holds")
    names = np.array([row[0] for row in rows], dtype="S")
    return Directory(names, numbers[:, 0], numbers[:, 1], np.full(len(rows), UNKNOWN))


def count_samples(shards: ShardFiles) -> ShardCounts:
    """Samples of each shard by the index of its folder; shards that it does not list are scanned.

    No shard that an index lists is looked at: whether it still is the index's shows when it is
    opened.
    """
    parts = [_count(part) for part in shards.parts]
    counts = ShardCounts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    scanned = int((counts.sizes == UNKNOWN).sum())
    if scanned:
        _log.info("scanned %d of %d shards that no index covers", scanned, len(shards))
    return counts


def _count(part: FolderFiles) -> ShardCounts:
    counts = ShardCounts(*(np.full(len(part.names), UNKNOWN) for _ in ShardCounts._fields))
    index = read_index(Path(part.folder))
    if index is not None and len(index.names):
        row = np.minimum(np.searchsorted(index.names, part.names), len(index.names) - 1)
        known = index.names[row] == part.names
        counts.samples[known] = index.samples[row[known]]
        counts.sizes[known] = index.sizes[row[known]]
        counts.places[known] = index.places[row[known]]
        counts.versions[known] = index.version
        if not known.all() or len(index.names) > len(part.names):
            _warn_of_missing(part, index)
    for i in np.flatnonzero(counts.sizes == UNKNOWN):
        path = Path(part.folder) / part.names[i].decode(errors="surrogateescape")
        counts.samples[i] = len(read_shard_table(path))
        if counts.samples[i] == 0:
            _log.warning("%s holds no samples", path)
    return counts


def _warn_of_missing(part: FolderFiles, index: Directory) -> None:
    """Warns of shards that are indexed but gone: without them the order of samples is another."""
    others = np.setdiff1d(index.names, part.names)
    gone = np.setdiff1d(others, list_files(part.folder)) if len(others) else others
    if len(gone):
        _log.warning(
            "%s: %d shards of its index are missing, the first is %s; the order of samples is "
            "another without them",
            part.folder,
            len(gone),
            gone[0].decode(errors="replace"),
        )
