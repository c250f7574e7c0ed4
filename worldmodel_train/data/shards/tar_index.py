"""Finds the samples of a tar shard by a scan of its headers."""

import logging
from pathlib import Path
from typing import BinaryIO

from worldmodel_train.data.shards.shard_table import ShardSample, ShardTable
from worldmodel_train.data.shards.tar_groups import Group, Grouping
from worldmodel_train.data.shards.tar_header import CorruptTarError
from worldmodel_train.data.shards.tar_members import NOWHERE, FileBytes, tar_members

_log = logging.getLogger(__name__)

COMPRESSED = (
    "is compressed, and a shard is a plain tar: decompress it, or stream it with "
    "`pipe:gzip -dc FILE` (zstd, xz and bzip2 know -dc too)"
)


def read_shard_table(path: Path) -> ShardTable:
    """The samples of a shard, the unusable ones with their problem."""
    with path.open("rb") as file:
        return scan(file)


def scan(file: BinaryIO) -> ShardTable:
    """The samples of an open shard, the unusable ones with their problem."""
    groups, samples = Grouping(), list[ShardSample]()
    try:
        for member in tar_members(FileBytes(file)):
            done = groups.add(member)
            if done is not None:
                samples.append(_sample(done))
        samples += map(_sample, groups.end())
    except CorruptTarError as error:
        if str(error) == "compressed_shard":
            _log.warning("%s %s", file.name, COMPRESSED)
        samples += map(_sample, groups.broken(error))
    return ShardTable.of(samples)


def _sample(group: Group) -> ShardSample:
    return ShardSample(
        key=group.key,
        video=group.video or NOWHERE,
        json=group.spans.get("json", NOWHERE),
        problem=group.problem,
    )
