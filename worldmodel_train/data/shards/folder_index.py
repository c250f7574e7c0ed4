"""`samples.idx`: where every sample of a folder of shards lies, read a row at a time.

A header of fixed size, one block per shard (`ShardTable.to_bytes`), then the directory: name,
bytes, samples and place of each shard, sorted by name. Start-up reads the directory only; a sample
costs two small reads, whatever the number of shards.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from worldmodel_train.data.shards.shard_table import ROW, ShardSample, ShardTable, sample_of

INDEX_FILE = "samples.idx"
_MAGIC = b"WMTIDX01"
# magic, shards, bytes of a name, offset of the directory, its CRC-32
_HEADER = struct.Struct("<8sQQQI")


class Directory(NamedTuple):
    """What an index says of each shard; `names` is sorted."""

    names: np.ndarray  # bytes
    sizes: np.ndarray  # of the file
    samples: np.ndarray
    places: np.ndarray  # of the shard's rows in the index


class IndexedShard(NamedTuple):
    """One shard to be written into an index."""

    name: str
    num_bytes: int
    table: ShardTable


def read_directory(path: Path) -> Directory:
    """The directory of an index; ValueError where the file is something else or damaged."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC[:6]):
            raise ValueError(_broken(path, "it does not begin as one"))
        magic, shards, width, start, check = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise ValueError(_broken(path, f"its version is {magic[6:]!r}, not {_MAGIC[6:]!r}"))
        size = shards * (width + 3 * 8)
        if start + size != os.fstat(file.fileno()).st_size:
            raise ValueError(_broken(path, "it was cut"))
        file.seek(start)
        content = file.read(size)
    if zlib.crc32(content) != check:
        raise ValueError(_broken(path, "its checksum is wrong"))
    numbers = np.frombuffer(content, dtype="<i8", count=3 * shards).reshape(3, shards)
    names = np.frombuffer(content, dtype=f"S{width}", offset=numbers.nbytes)
    return Directory(names, *numbers)


def read_row(index: int, place: int, num_samples: int, row: int) -> ShardSample:
    """One sample of the shard whose rows lie at `place`; ValueError where the bytes are no row.

    `index` is the open file's descriptor.
    """
    raw = os.pread(index, ROW.itemsize, place + row * ROW.itemsize)
    found = np.frombuffer(raw, dtype=ROW)[0] if len(raw) == ROW.itemsize else None
    if found is None:
        raise ValueError("the index ends early")
    key_place = place + num_samples * ROW.itemsize + int(found["key_begin"])
    return sample_of(found, os.pread(index, int(found["key_size"]), key_place))


def write_folder_index(path: Path, shards: Iterable[IndexedShard]) -> int:
    """Write the index of these shards; samples in it. `path` has its old content or all the new."""
    temporary = path.with_name(f".{path.name}.partial")
    found: list[tuple[bytes, int, int, int]] = []  # as in the directory
    try:
        with temporary.open("wb") as file:
            file.write(bytes(_HEADER.size))
            for name, num_bytes, table in shards:
                found.append((os.fsencode(name), num_bytes, len(table), file.tell()))
                file.write(table.to_bytes())
            write_directory(file, found)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return sum(row[2] for row in found)


def write_directory(file: BinaryIO, shards: list[tuple[bytes, int, int, int]]) -> None:
    """Write name, bytes, samples and place of each shard behind the blocks, and then the header."""
    shards.sort()
    start, width = file.tell(), max((len(name) for name, *_ in shards), default=1)
    numbers = np.array([row[1:] for row in shards], dtype="<i8").reshape(-1, 3).T
    names = np.array([name for name, *_ in shards], dtype=f"S{width}")
    content = numbers.tobytes() + names.tobytes()
    file.write(content)
    file.seek(0)
    file.write(_HEADER.pack(_MAGIC, len(shards), width, start, zlib.crc32(content)))


def _broken(path: Path, why: str) -> str:
    return (
        f"{path} is not an index of shards ({why}); make it again with "
        f"`wmt data index {path.parent}`, or delete it to have the shards scanned"
    )
