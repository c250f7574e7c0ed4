"""Videos of a source, spread over its shards, one in memory at a time."""

import logging
from collections.abc import Iterator

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.fixed import Views
from worldmodel_train.data.health import shown
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.source_config import SourceConfig
from worldmodel_train.data.spread import stride

_log = logging.getLogger(__name__)


def spread_videos(
    data: DataConfig, source: SourceConfig, *, limit: int, segments: int = 1
) -> Iterator[Views]:
    """At most `limit` videos of a source, the same on every call; bad ones are left out.

    Every so many-th is taken, from the first shard to the last: shards are often written class by
    class, and the first ones would not know all. The step is a prime, or classes that take turns
    might be met in step. Raises ValueError where none can be used.
    """
    if source.streams:
        raise ValueError(
            f"source '{source.name}' is a stream; tasks measure on shards of a file system"
        )
    every = stride(len(ShardSet(resolve_shards(source))), limit)
    found = 0
    for video in data.each_video(source, segments=segments, every=every):
        if isinstance(video, Skip):
            _log.warning("skipped %s", shown(video))
            continue
        found += 1
        yield video
    if not found:
        raise ValueError(
            f"source '{source.name}' gave no video that can be used; the warnings above say why"
        )
