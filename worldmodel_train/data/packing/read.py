"""Samples out of a tar shard, with every size checked before memory is taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_groups import Grouping
from worldmodel_train.data.shards.tar_header import BLOCK, CorruptTarError, compression_of
from worldmodel_train.data.shards.tar_members import FileBytes, Span, read_member, tar_members
from worldmodel_train.data.video_files import MEMBER_LIMIT

LARGEST_JSON = 1 << 20
_DAMAGES = {
    "truncated_shard": "truncated: it ends early",
    "corrupt_shard": "damaged: a header is wrong",
    "compressed_shard": "compressed",
}


@dataclass(frozen=True, kw_only=True)
class RawSample:
    """One sample as it lies in the tar. Names are compared, never used as paths."""

    key: str
    suffix: str | None  # None where the video is missing
    video: bytes
    description: bytes  # empty where the json is missing


def read_samples(file: BufferedReader) -> Iterator[RawSample]:
    """The samples of a tar in order, as training reads it; raises BadVideo where it is damaged."""
    groups = Grouping()
    try:
        for member in tar_members(FileBytes(file)):
            done = groups.add(member)
            if done is not None:
                yield _sample(file, done)
        for last in groups.end():
            yield _sample(file, last)
    except CorruptTarError as error:
        raise BadVideo("tar", _DAMAGES[str(error)]) from error


def open_shard(path: Path) -> BufferedReader:
    """The shard's file; BadVideo where it is missing, or compressed whatever its name."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise BadVideo("tar", "no such file") from error
    if packer := compression(file):
        file.close()
        raise BadVideo("tar", f"compressed with {packer}: decompress it")
    return file


def compression(file: BufferedReader) -> str | None:
    """What packed a file that is no plain tar; it stands at its beginning afterwards."""
    start = file.read(BLOCK)
    file.seek(0)
    return compression_of(start)


def compressed_shards(folder: Path) -> str:
    """What to do with a folder in which all shards are compressed; empty for others."""
    found = sorted((*folder.glob("*.tar.gz"), *folder.glob("*.tgz")))
    if not found or any(folder.glob("*.tar")):
        return ""
    return f"{found[0].name} is compressed, and samples are read by their place: gunzip the shards"


def _sample(file: BufferedReader, sample: ShardSample) -> RawSample:
    json = sample.spans.get("json")
    suffix = next((extension for extension in sample.spans if extension != "json"), None)
    return RawSample(
        key=sample.key,
        suffix=None if suffix is None else f".{suffix.rpartition('.')[2]}",
        video=b"" if suffix is None else _body(file, sample.spans[suffix], MEMBER_LIMIT),
        description=b"" if json is None else _body(file, json, LARGEST_JSON),
    )


def _body(file: BufferedReader, span: Span, limit: int) -> bytes:
    if span.size > limit:
        raise BadVideo("tar", f"a file of {span.size} bytes, more than {limit}")
    return read_member(file, span)
