"""How many samples each shard has: from the index beside it where that is right, else by a scan."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from worldmodel_train.data.shards.tar_index import read_shard_table

_log = logging.getLogger(__name__)

INDEX_NAME = "index.json"
INDEX_VERSION = 1


class IndexEntry(NamedTuple):
    """What an index says of a shard."""

    samples: int
    num_bytes: int


def read_index(folder: Path) -> dict[str, IndexEntry]:
    """The index of a folder of shards by file name; empty if there is none."""
    path = folder / INDEX_NAME
    if not path.is_file():
        return {}
    try:
        index = json.loads(path.read_text())
        if not isinstance(index, dict) or not {"version", "shards"} <= index.keys():
            _log.warning("%s is not an index of shards; scanning the shards beside it", path)
            return {}
        version = index["version"]
        entries = {
            str(shard["name"]): IndexEntry(int(shard["samples"]), int(shard["bytes"]))
            for shard in index["shards"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not an index of shards ({error!r}); make it again with "
            "`wmt data pack`, or delete it to have the shards scanned"
        ) from error
    if version != INDEX_VERSION:
        raise ValueError(f"{path} has version {version}; this program reads {INDEX_VERSION}")
    return entries


def count_samples(paths: Sequence[Path]) -> Int64[np.ndarray, "shards"]:
    """Samples of each shard; a shard whose size is not the index's is scanned."""
    indexes: dict[Path, dict[str, IndexEntry]] = {}
    counts = np.zeros(len(paths), dtype=np.int64)
    scanned = 0
    for i, path in enumerate(paths):
        if path.parent not in indexes:
            indexes[path.parent] = read_index(path.parent)
        entry = indexes[path.parent].get(path.name)
        if entry is not None and entry.num_bytes == path.stat().st_size:
            counts[i] = entry.samples
            continue
        if entry is not None:
            _log.warning("%s is not as large as %s says; scanning it", path, INDEX_NAME)
        counts[i] = len(read_shard_table(path))
        scanned += 1
        if counts[i] == 0:
            _log.warning("%s holds no samples", path)
    if scanned:
        _log.info("scanned %d of %d shards that no index covers", scanned, len(paths))
    return counts
