"""The samples of one shard as bytes: rows of one width, then the keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldmodel_train.data.shards.tar_members import Span

PROBLEMS = (
    *("", "missing_json", "missing_video"),
    *("truncated_shard", "corrupt_shard", "compressed_shard"),
)

# 48 bytes a sample; keys lie behind the rows, `key_begin` counts from the first of them
ROW = np.dtype(
    [
        ("video_offset", "<i8"),
        ("video_size", "<i8"),
        ("json_offset", "<i8"),
        ("json_size", "<i8"),
        ("video_check", "<u4"),
        ("json_check", "<u4"),
        ("key_begin", "<u4"),
        ("key_size", "<u2"),
        ("problem", "u1"),
        ("unused", "u1"),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ShardSample:
    """One sample of a shard: where its files lie, or why it cannot be used."""

    key: str
    video: Span
    json: Span
    problem: str = ""


class ShardTable:
    """The samples of one shard, 48 bytes each and their keys."""

    def __init__(self, rows: np.ndarray, keys: bytes) -> None:
        self._rows = rows
        self._keys = keys

    @staticmethod
    def of(samples: Sequence[ShardSample]) -> "ShardTable":
        """The table of these samples."""
        rows = np.zeros(len(samples), dtype=ROW)
        keys = [sample.key.encode()[:0xFFFF] for sample in samples]
        sizes = [len(key) for key in keys]
        rows["key_begin"] = np.cumsum([0, *sizes])[:-1]
        rows["key_size"] = sizes
        for i, sample in enumerate(samples):
            row = rows[i]
            row["video_offset"], row["video_size"], row["video_check"] = sample.video
            row["json_offset"], row["json_size"], row["json_check"] = sample.json
            row["problem"] = PROBLEMS.index(sample.problem)
        return ShardTable(rows, b"".join(keys))

    @staticmethod
    def from_bytes(block: bytes, num_samples: int) -> "ShardTable":
        """The table that `to_bytes` gave; ValueError if the block is too short for it."""
        rows = np.frombuffer(block, dtype=ROW, count=num_samples)
        return ShardTable(rows, block[num_samples * ROW.itemsize :])

    def to_bytes(self) -> bytes:
        """Rows, then keys."""
        return self._rows.tobytes() + self._keys

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> ShardSample:
        row = self._rows[number]
        begin = int(row["key_begin"])
        return sample_of(row, self._keys[begin : begin + int(row["key_size"])])


def sample_of(row: np.void, key: bytes) -> ShardSample:
    """What a row and its key say; ValueError where they cannot be what was written."""
    if row["problem"] >= len(PROBLEMS):
        raise ValueError(f"no problem has the number {row['problem']}")
    return ShardSample(
        key=key.decode(),
        video=Span(int(row["video_offset"]), int(row["video_size"]), int(row["video_check"])),
        json=Span(int(row["json_offset"]), int(row["json_size"]), int(row["json_check"])),
        problem=PROBLEMS[row["problem"]],
    )
