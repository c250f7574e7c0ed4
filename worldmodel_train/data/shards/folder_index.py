"""`samples.idx`: where every sample of a folder of shards lies, read a row at a time.

A header of fixed size, one block per shard (`ShardTable.to_bytes`), then the directory: bytes,
samples and place of each shard, and names, sorted. Start-up reads the directory only; a sample
costs two small reads, whatever the number of shards. Header, directory, rows and records have
checksums: a bit that is another is refused here, or found when its row is read.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from worldmodel_train.data.atomic_file import replacing
from worldmodel_train.data.shards.shard_table import (
    ROW_BYTES,
    ShardSample,
    ShardTable,
    row_of,
    sample_of,
)

INDEX_FILE = "samples.idx"
VERSION = 2
_MAGIC = b"WMTIDX"
# magic and version, shards, bytes of a name, offset of the directory, its CRC-32
_HEADER_V1 = struct.Struct("<6s2sQQQI")
# the same, and the CRC-32 of the header before it
_HEADER = struct.Struct("<6s2sQQQII")
_LARGEST_RECORD = 1 << 24  # bytes; an honest one has some hundred
_LARGEST_FILE = 1 << 48


class Directory(NamedTuple):
    """What an index says of each shard; `names` is sorted."""

    names: np.ndarray  # bytes
    sizes: np.ndarray  # of the file
    samples: np.ndarray
    places: np.ndarray  # of the shard's rows in the index
    version: int = VERSION


class IndexedShard(NamedTuple):
    """One shard to be written into an index."""

    name: str
    num_bytes: int
    table: ShardTable


def read_directory(path: Path) -> Directory:
    """The directory of an index; ValueError where the file is something else or damaged."""
    with path.open("rb") as file:
        version, shards, width, start, check = _read_header(path, file.read(_HEADER.size))
        size = shards * (width + 3 * 8)
        if start + size != os.fstat(file.fileno()).st_size:
            raise ValueError(_broken(path, "it was cut"))
        file.seek(start)
        content = file.read(size)
    if zlib.crc32(content) != check:
        raise ValueError(_broken(path, "its checksum is wrong"))
    numbers = np.frombuffer(content, dtype="<i8", count=3 * shards).reshape(3, shards)
    _require_sane(path, numbers, start)
    names = np.frombuffer(content, dtype=f"S{width}", offset=numbers.nbytes)
    sizes, samples, places = numbers
    return Directory(names, sizes, samples, places, version)


def _require_sane(path: Path, numbers: np.ndarray, start: int) -> None:
    """Refuses what no writer of ours would have checksummed."""
    _, samples, places = numbers
    rows = float(samples.sum(dtype=np.float64)) * ROW_BYTES
    if start > _LARGEST_FILE or (numbers < 0).any() or (places > start).any() or rows > start:
        raise ValueError(_broken(path, "it claims more than it can hold"))


def _read_header(path: Path, raw: bytes) -> tuple[int, int, int, int, int]:
    """Version, shards, bytes of a name, offset of the directory, its CRC-32."""
    if len(raw) < _HEADER_V1.size or not raw.startswith(_MAGIC):
        raise ValueError(_broken(path, "it does not begin as one"))
    if raw[6:8] == b"01":
        return 1, *_HEADER_V1.unpack(raw[: _HEADER_V1.size])[2:]
    if raw[6:8] != b"02":
        raise ValueError(_broken(path, f"its version is {raw[6:8]!r}, not b'02' or b'01'"))
    if len(raw) < _HEADER.size or zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        raise ValueError(_broken(path, "the checksum of its first bytes is wrong"))
    return VERSION, *_HEADER.unpack(raw)[2:-1]


def read_row(index: int, place: int, num_samples: int, number: int) -> ShardSample:
    """One sample of the shard whose rows lie at `place`; ValueError where the bytes are not its.

    `index` is the open file's descriptor.
    """
    row = row_of(os.pread(index, ROW_BYTES, place + number * ROW_BYTES), number)
    if row.num_bytes > _LARGEST_RECORD or row.begin > _LARGEST_FILE:
        raise ValueError(f"row {number} claims {row.num_bytes} bytes at {row.begin}")
    record = os.pread(index, row.num_bytes, place + num_samples * ROW_BYTES + row.begin)
    return sample_of(row, record)


def write_folder_index(path: Path, shards: Iterable[IndexedShard]) -> int:
    """Write the index of these shards; samples in it. `path` has its old content or all the new."""
    found: list[tuple[bytes, int, int, int]] = []  # as in the directory
    with replacing(path) as file:
        file.write(bytes(_HEADER.size))
        for name, num_bytes, table in shards:
            found.append((os.fsencode(name), num_bytes, len(table), file.tell()))
            file.write(table.to_bytes())
        write_directory(file, found)
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
    header = _HEADER.pack(_MAGIC, b"02", len(shards), width, start, zlib.crc32(content), 0)[:-4]
    file.write(header + zlib.crc32(header).to_bytes(4, "little"))


def _broken(path: Path, why: str) -> str:
    return (
        f"{path} is not an index of shards ({why}); make it again with "
        f"`wmt data index {path.parent}`, or delete it to have the shards scanned"
    )
