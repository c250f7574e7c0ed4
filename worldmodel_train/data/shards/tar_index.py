"""Finds the samples of a tar shard by a scan of its headers."""

import logging
from pathlib import Path
from typing import BinaryIO

from worldmodel_train.data.shards.shard_table import ShardSample, ShardTable
from worldmodel_train.data.shards.tar_groups import Grouping
from worldmodel_train.data.shards.tar_header import CorruptTarError
from worldmodel_train.data.shards.tar_members import FileBytes, tar_members

_log = logging.getLogger(__name__)

COMPRESSED = (
    "is compressed, and a shard is a plain tar: decompress it, or stream it with "
    "`pipe:gzip -dc FILE` (zstd, xz and bzip2 know -dc too)"
)


def read_shard_table(path: Path) -> ShardTable:
    """The samples of a shard, and where it is damaged."""
    with path.open("rb") as file:
        return scan(file)


def scan(file: BinaryIO) -> ShardTable:
    """The samples of an open shard, and where it is damaged: a sample with a problem, the last."""
    groups, samples = Grouping(), list[ShardSample]()
    try:
        for member in tar_members(FileBytes(file)):
            done = groups.add(member)
            if done is not None:
                samples.append(done)
        samples += groups.end()
    except CorruptTarError as error:
        if str(error) == "compressed_shard":
            _log.warning("%s %s", file.name, COMPRESSED)
        samples += groups.broken(error)
    return ShardTable.of(samples)
