"""Where the samples of a tar shard lie, found by reading headers only; nothing is extracted."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

_BLOCK = 512
_LONG_NAME_LIMIT = 1 << 16  # bytes; a longer name or pax header is an attack, not a name
VIDEO_EXTENSIONS = frozenset(
    "mp4 m4v mov mkv webm avi ts mpg mpeg flv ogv 3gp wmv gif jpg jpeg png webp bmp".split()  # noqa: SIM905  # easier to read
)


class CorruptTarError(Exception):
    """A tar that cannot be read further."""


class Member(NamedTuple):
    """A file inside a tar: its name, only ever used as a key, and its bytes' place."""

    name: str
    offset: int
    size: int


class Span(NamedTuple):
    """A range of bytes of a shard."""

    offset: int
    size: int


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


def tar_members(file: BinaryIO, file_size: int) -> Iterator[Member]:
    """The regular files of a tar; raises CorruptTarError where it ends early or is no tar.

    A member that claims more bytes than the file has is yielded before the error is raised, so
    that its sample can be counted. Reads headers by position and never a member's bytes.
    """
    position, long_name = 0, ""
    while position < file_size:
        header = os.pread(file.fileno(), _BLOCK, position)
        if len(header) < _BLOCK:
            raise CorruptTarError("truncated_shard")
        if not any(header):
            return  # the end of the archive
        size = _checked_size(header)
        kind, body = header[156:157], position + _BLOCK
        if kind in (b"0", b"\0"):
            yield Member(long_name or _name(header), body, size)
        if body + size > file_size:
            raise CorruptTarError("truncated_shard")
        if kind in (b"L", b"x"):
            long_name = _long_name(file, kind, Span(body, size))
        elif kind != b"g":
            long_name = ""
        position = body + -(-size // _BLOCK) * _BLOCK


def _checked_size(header: bytes) -> int:
    """The member's size; the header's checksum must be right."""
    field = header[124:136]
    try:
        expected = int(header[148:156].strip(b" \0") or b"0", 8)
        size = int(field.strip(b" \0") or b"0", 8) if field[0] < 0x80 else _base256(field)
    except ValueError:
        raise CorruptTarError("corrupt_shard") from None
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != expected or size < 0:
        raise CorruptTarError("corrupt_shard")
    return size


def _base256(field: bytes) -> int:
    return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _name(header: bytes) -> str:
    prefix = _text(header[345:500]) if header[257:262] == b"ustar" else ""
    return f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100])


def _long_name(file: BinaryIO, kind: bytes, span: Span) -> str:
    """The name that a GNU or pax header gives to the next member; empty if it gives none."""
    if span.size > _LONG_NAME_LIMIT:
        raise CorruptTarError("corrupt_shard")
    raw = os.pread(file.fileno(), span.size, span.offset)
    if kind == b"L":
        return _text(raw)
    while raw:
        length, _, rest = raw.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(raw):
            raise CorruptTarError("corrupt_shard")
        field, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        if field == b"path":
            return value.decode("utf-8", "replace")
        raw = raw[int(length) :]
    return ""


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


def read_span(path: Path, span: Span) -> bytes:
    """Those bytes of the shard; raises CorruptTarError if the file has become shorter."""
    with path.open("rb") as file:
        if span.offset + span.size > os.fstat(file.fileno()).st_size:
            raise CorruptTarError("truncated_shard")
        parts, position = [], span.offset
        while position < span.offset + span.size:  # one pread gives at most 2 GiB
            part = os.pread(file.fileno(), span.offset + span.size - position, position)
            if not part:
                raise CorruptTarError("truncated_shard")
            parts.append(part)
            position += len(part)
    return b"".join(parts)
