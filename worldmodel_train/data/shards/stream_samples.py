"""The samples of a streamed tar, in the order in which they come."""

import http.client
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import closing

from worldmodel_train.batch import Skip
from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_bytes import StreamBytes
from worldmodel_train.data.shards.stream_http import UnreachableError
from worldmodel_train.data.shards.stream_open import client_errors, open_stream, server_of
from worldmodel_train.data.shards.stream_outages import Outages
from worldmodel_train.data.shards.stream_patience import Patience
from worldmodel_train.data.shards.tar_groups import Grouping
from worldmodel_train.data.shards.tar_header import CorruptTarError
from worldmodel_train.data.shards.tar_index import COMPRESSED
from worldmodel_train.data.shards.tar_members import tar_members
from worldmodel_train.data.shards.wanted_files import VIDEOS, WantedFiles, limit

Item = EncodedSample | Skip


def stream_samples(
    shard: str, timeout_s: float, outages: Outages, wanted: WantedFiles = VIDEOS
) -> Iterator[Item]:
    """The samples of one streamed tar, the bad ones as Skip; never raises for a bad shard.

    They are those that a scan of the same tar on a file system finds.
    """
    patience, empty = Patience(timeout_s), True
    try:
        with closing(open_stream(shard, patience, outages)) as stream:
            for item in _items(shard, StreamBytes(stream), wanted):
                empty = False
                patience.sample_came()
                yield item
    except _breaks() as error:
        yield Skip(_reason(error), shard, str(error)[:200])
        if empty and shard.startswith("pipe:") and not isinstance(error, TimeoutError):
            # what the command would read may be away: it is not run on all shards in an instant
            outages.wait(server_of(shard), f"{error} ({shard[:100]})")
        return
    if shard.startswith("pipe:"):
        outages.over(server_of(shard))
    if empty:
        yield Skip("empty_shard", shard, "")


def _breaks() -> tuple[type[Exception], ...]:
    """What ends a stream before its tar does."""
    return (OSError, EOFError, http.client.HTTPException, *client_errors())


def _reason(error: Exception) -> str:
    if isinstance(error, UnreachableError):
        return "unreachable_shard"
    # an URLError holds what stopped it
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return "stalled_shard" if isinstance(cause, TimeoutError) else "unreadable_shard"


def _items(shard: str, tar: StreamBytes, wanted: WantedFiles) -> Iterator[Item]:
    """The samples of a tar; of each no more than what is wanted is held."""
    groups, files = Grouping(), dict[str, bytes]()
    try:
        for member in tar_members(tar):
            done = groups.add(member)
            if done is not None:
                yield _item(shard, done, files, wanted)
                files = {}
            for name in wanted.read:
                is_it = wanted.span_of(groups.spans, name) is member.span
                if is_it and member.span.size <= limit(name):
                    files.pop(name, None)  # a second file of the same name takes the first's place
                    files[name] = tar.content(member.span)
    except CorruptTarError as error:
        yield from (_item(shard, sample, files, wanted) for sample in groups.broken(error))
        return
    except _breaks():
        left = [sample for sample in groups.end() if _is_whole(sample, files, wanted)]
        yield from (_item(shard, sample, files, wanted) for sample in left)
        raise
    yield from (_item(shard, sample, files, wanted) for sample in groups.end())
    if not tar.drain():
        yield Skip("truncated_shard", shard, "")


def _is_whole(sample: ShardSample, files: Mapping[str, bytes], wanted: WantedFiles) -> bool:
    """Whether nothing is missing of the sample that a stream ends in."""
    sizes = {name: span.size for name, span in wanted.spans(sample).items()}
    return not wanted.problem(sample) and sizes == {name: len(files[name]) for name in files}


def _item(shard: str, sample: ShardSample, files: dict[str, bytes], wanted: WantedFiles) -> Item:
    problem = wanted.problem(sample)
    if problem:
        return Skip(problem, shard, COMPRESSED if problem == "compressed_shard" else sample.key)
    return EncodedSample(key=sample.key, shard=shard, files=files)
