"""The samples of one shard as bytes: rows of one width, and behind them a record of each.

    row     where its record begins behind the rows, how many files it names, bytes of text,
            CRC-32 of the record; CRC-32 of all this and of the row's number
    record  offset, size and CRC-32 of the tar header of each file, in the tar's order;
            then the text `problem/extension/.../extension/key`

No bit of it changes unnoticed, and no row can stand in another's place.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worldmodel_train.data.shards.tar_members import Span

_ROW = struct.Struct("<QIIII")
_SPAN = struct.Struct("<qqI")
ROW_BYTES = _ROW.size


@dataclass(frozen=True, kw_only=True)
class ShardSample:
    """One sample of a shard: where its files lie, or why the tar cannot be read there."""

    key: str
    spans: Mapping[str, Span]
    """By extension, without its dot, in the tar's order."""
    problem: str = ""


class Row(NamedTuple):
    """Where a sample's record lies."""

    begin: int
    """Bytes between the end of the rows and the record."""
    num_spans: int
    num_text: int
    check: int

    @property
    def num_bytes(self) -> int:
        """Of the record."""
        return self.num_spans * _SPAN.size + self.num_text


class ShardTable:
    """The samples of one shard, some 75 bytes each and their keys."""

    def __init__(self, block: bytes, num_samples: int) -> None:
        self._block = block
        self._num_samples = num_samples

    @staticmethod
    def of(samples: Sequence[ShardSample]) -> "ShardTable":
        """The table of these samples."""
        rows, records = bytearray(), bytearray()
        for number, sample in enumerate(samples):
            record, num_text = _record_of(sample)
            row = _ROW.pack(len(records), len(sample.spans), num_text, zlib.crc32(record), 0)
            rows += row[:-4] + zlib.crc32(row[:-4], number).to_bytes(4, "little")
            records += record
        return ShardTable(bytes(rows + records), len(samples))

    @staticmethod
    def from_bytes(block: bytes, num_samples: int) -> "ShardTable":
        """The table that `to_bytes` gave; ValueError where a bit of it is another."""
        table = ShardTable(block, num_samples)
        size = num_samples * ROW_BYTES
        for number in range(num_samples):
            size += table._row(number).num_bytes
            table[number]
        if size != len(block):
            raise ValueError(f"{len(block)} bytes, not {size}")
        return table

    def to_bytes(self) -> bytes:
        """Rows, then records."""
        return self._block

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, number: int) -> ShardSample:
        row = self._row(number)
        begin = self._num_samples * ROW_BYTES + row.begin
        return sample_of(row, self._block[begin : begin + row.num_bytes])

    def _row(self, number: int) -> Row:
        return row_of(self._block[number * ROW_BYTES : (number + 1) * ROW_BYTES], number)


def row_of(raw: bytes, number: int) -> Row:
    """What the bytes of the `number`-th row say; ValueError where they are not that row's."""
    if len(raw) < ROW_BYTES:
        raise ValueError("it ends early")
    *fields, check = _ROW.unpack(raw)
    if zlib.crc32(raw[:-4], number) != check:
        raise ValueError(f"the checksum of row {number} is wrong")
    return Row(*fields)


def sample_of(row: Row, record: bytes) -> ShardSample:
    """What a row and its record say; ValueError where they are not what was written."""
    if zlib.crc32(record) != row.check:
        raise ValueError("the checksum of a record is wrong")
    places = record[: row.num_spans * _SPAN.size]
    text = record[len(places) :].decode("utf-8", "surrogateescape")
    problem, *extensions, key = text.split("/", row.num_spans + 1)
    spans = map(Span._make, _SPAN.iter_unpack(places))
    return ShardSample(key=key, spans=dict(zip(extensions, spans, strict=True)), problem=problem)


def _record_of(sample: ShardSample) -> tuple[bytes, int]:
    """A sample's record, and how many bytes of it are text."""
    words = (sample.problem, *sample.spans)
    assert not any("/" in word for word in words)
    text = "/".join((*words, sample.key)).encode("utf-8", "surrogateescape")
    return b"".join(_SPAN.pack(*span) for span in sample.spans.values()) + text, len(text)
