"""The samples of a tar shard: where their files lie, or why they cannot be used."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodel_train.data.shards.tar_members import CorruptTarError, Member, Span, tar_members
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

VIDEO_EXTENSIONS = frozenset(suffix[1:] for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES)


@dataclass(frozen=True, kw_only=True)
class ShardSample:
    """One sample of a shard: where its files lie, or why it cannot be used."""

    key: str
    video: Span
    json: Span
    problem: str = ""


def split_name(name: str) -> tuple[str, str]:
    """WebDataset's key (up to the first dot of the last part) and the extension after the last."""
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    return folder + slash + key, extension.rpartition(".")[2].lower()


class ShardTable:
    """The samples of one shard, some 60 bytes each."""

    _PROBLEMS = ("", "missing_json", "missing_video", "truncated_shard", "corrupt_shard")

    def __init__(self, samples: list[ShardSample]) -> None:
        keys = [sample.key.encode() for sample in samples]
        self._keys = b"".join(keys)
        self._ends = np.cumsum([len(key) for key in keys], dtype=np.int64)
        self._spans = np.array([(*s.video, *s.json) for s in samples], dtype=np.int64)
        self._problem = np.array([self._PROBLEMS.index(s.problem) for s in samples], dtype=np.int8)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> ShardSample:
        begin = int(self._ends[row - 1]) if row else 0
        spans = [int(value) for value in self._spans[row]]
        return ShardSample(
            key=self._keys[begin : int(self._ends[row])].decode(),
            video=Span(spans[0], spans[1]),
            json=Span(spans[2], spans[3]),
            problem=self._PROBLEMS[self._problem[row]],
        )


def read_shard_table(path: Path) -> ShardTable:
    """The samples of a shard, the unusable ones with their problem."""
    samples: list[ShardSample] = []
    group: list[Member] = []
    with path.open("rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        try:
            for member in tar_members(file, file_size):
                if group and split_name(group[0].name)[0] != split_name(member.name)[0]:
                    samples.append(_sample(group, file_size))
                    group = []
                group.append(member)
        except CorruptTarError as error:
            whole = [m for m in group if m.offset + m.size <= file_size]
            key = split_name(group[0].name)[0] if group else ""
            if len(whole) == len(group) and len(group) > 1:
                samples.append(_sample(group, file_size))
                key = ""
            nowhere = Span(0, 0)
            samples.append(ShardSample(key=key, video=nowhere, json=nowhere, problem=str(error)))
            group = []
    if group:
        samples.append(_sample(group, file_size))
    return ShardTable(samples)


def _sample(members: list[Member], file_size: int) -> ShardSample:
    """The sample that consecutive members of one key make."""
    key = split_name(members[0].name)[0]
    spans = {split_name(m.name)[1]: Span(m.offset, m.size) for m in members}
    video = next((span for ext, span in spans.items() if ext in VIDEO_EXTENSIONS), None)
    json = spans.get("json")
    problem = "missing_video" if video is None else "missing_json" if json is None else ""
    assert all(span.offset + span.size <= file_size for span in spans.values())
    return ShardSample(key=key, video=video or Span(0, 0), json=json or Span(0, 0), problem=problem)
