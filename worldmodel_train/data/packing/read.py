"""Samples out of a tar shard, with every size checked before memory is taken."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.shards.tar_header import BLOCK, compression_of
from worldmodel_train.data.video_files import MEMBER_LIMIT

LARGEST_JSON = 1 << 20


@dataclass(frozen=True, kw_only=True)
class RawSample:
    """One sample as it lies in the tar. Names are compared, never used as paths."""

    key: str
    suffix: str | None  # None where the video is missing
    video: bytes
    description: bytes  # empty where the json is missing


def read_samples(file: BufferedIOBase) -> Iterator[RawSample]:
    """The samples of a tar in order; raises BadVideo where the tar is damaged."""
    parts: dict[str, bytes] = {}
    current = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                key, dot, suffix = member.name.rpartition("/")[2].partition(".")
                if current is not None and key != current:
                    yield _sample(current, parts)
                    parts = {}
                current = key
                parts[dot + suffix.lower()] = _body(tar, member)
            if not _ends_well(file, tar.offset):
                raise BadVideo("tar", "truncated: the end mark is missing")
    except tarfile.TarError as error:
        raise BadVideo("tar", str(error)) from error
    if current is not None:
        yield _sample(current, parts)


def open_shard(path: Path) -> BufferedIOBase:
    """The shard's file; BadVideo where it is missing, or compressed whatever its name."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise BadVideo("tar", "no such file") from error
    if packer := compression(file):
        file.close()
        raise BadVideo("tar", f"compressed with {packer}: decompress it")
    return file


def compression(file: BufferedIOBase) -> str | None:
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


def _body(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    limit = LARGEST_JSON if member.name.endswith(".json") else MEMBER_LIMIT
    if not member.isfile() or not 0 <= member.size <= limit:
        raise BadVideo("tar", f"member {member.name!r} is not a file of a sane size")
    body = tar.extractfile(member)
    content = body.read() if body is not None else b""
    if len(content) != member.size:
        raise BadVideo("tar", f"truncated inside {member.name!r}")
    return content


def _ends_well(file: BufferedIOBase, offset: int) -> bool:
    """Whether two empty blocks follow the last member, as a whole tar ends."""
    file.seek(offset)
    tail = file.read(2 * tarfile.BLOCKSIZE)
    return len(tail) == 2 * tarfile.BLOCKSIZE and not any(tail)


def _sample(key: str, parts: dict[str, bytes]) -> RawSample:
    description = parts.pop(".json", b"")
    suffix = next(iter(parts), None)
    return RawSample(
        key=key, suffix=suffix, video=parts.get(suffix or "", b""), description=description
    )
