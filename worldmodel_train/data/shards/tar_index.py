"""Finds the samples of a tar shard by a scan of its headers."""

import os
from pathlib import Path
from typing import BinaryIO

from worldmodel_train.data.shards.shard_table import ShardSample, ShardTable
from worldmodel_train.data.shards.tar_members import (
    CorruptTarError,
    Member,
    tar_members,
)
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

VIDEO_EXTENSIONS = frozenset(suffix[1:] for suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES)


def split_name(name: str) -> tuple[str, str]:
    """WebDataset's key (up to the first dot of the last part) and the extension after the last."""
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    return folder + slash + key, extension.rpartition(".")[2].lower()


def read_shard_table(path: Path) -> ShardTable:
    """The samples of a shard, and where it is damaged."""
    with path.open("rb") as file:
        return scan(file)


def scan(file: BinaryIO) -> ShardTable:
    """The samples of an open shard, and where it is damaged: a sample with a problem, the last."""
    samples: list[ShardSample] = []
    group: list[Member] = []
    file_size = os.fstat(file.fileno()).st_size
    try:
        for member in tar_members(file, file_size):
            if group and split_name(group[0].name)[0] != split_name(member.name)[0]:
                samples.append(_sample(group, file_size))
                group = []
            group.append(member)
    except CorruptTarError as error:
        whole = [m for m in group if m.span.offset + m.span.size <= file_size]
        key = split_name(group[0].name)[0] if group else ""
        if len(whole) == len(group) and len(group) > 1:
            samples.append(_sample(group, file_size))
            key = ""
        samples.append(ShardSample(key=key, spans={}, problem=str(error)))
        group = []
    if group:
        samples.append(_sample(group, file_size))
    return ShardTable.of(samples)


def _sample(members: list[Member], file_size: int) -> ShardSample:
    """The sample that consecutive members of one key make."""
    key = split_name(members[0].name)[0]
    spans = {split_name(m.name)[1]: m.span for m in members}
    assert all(span.offset + span.size <= file_size for span in spans.values())
    return ShardSample(key=key, spans=spans)
