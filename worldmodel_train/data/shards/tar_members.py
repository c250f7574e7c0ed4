"""The files inside a tar, found by reading headers only; nothing is extracted."""

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK = 512
_LONG_NAME_LIMIT = 1 << 16  # bytes; a longer name or pax header is an attack, not a name


class CorruptTarError(Exception):
    """A tar that cannot be read further."""


class ChangedMemberError(Exception):
    """Where a member should lie, the shard has something else."""


class Span(NamedTuple):
    """A file's bytes in a shard, and the CRC-32 of the tar header that stands before them."""

    offset: int
    size: int
    check: int


NOWHERE = Span(0, 0, 0)


class Member(NamedTuple):
    """A file inside a tar: its name, only ever used as a key, and its bytes' place."""

    name: str
    span: Span


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
            yield Member(long_name or _name(header), Span(body, size, zlib.crc32(header)))
        if body + size > file_size:
            raise CorruptTarError("truncated_shard")
        if kind in (b"L", b"x"):
            long_name = _long_name(file, kind, body, size)
        elif kind != b"g":
            long_name = ""
        position = body + -(-size // _BLOCK) * _BLOCK
    if file_size:
        raise CorruptTarError("truncated_shard")  # a whole tar ends with empty blocks


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


def _long_name(file: BinaryIO, kind: bytes, offset: int, size: int) -> str:
    """The name that a GNU or pax header gives to the next member; empty if it gives none."""
    if size > _LONG_NAME_LIMIT:
        raise CorruptTarError("corrupt_shard")
    raw = os.pread(file.fileno(), size, offset)
    if kind == b"L":
        return _text(raw)
    while raw:
        length, _, rest = raw.partition(b" ")
        # no honest length has more digits; int() itself gives up at some thousands of them
        if not length.isdigit() or len(length) > 9 or not 0 < int(length) <= len(raw):
            raise CorruptTarError("corrupt_shard")
        field, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        if field == b"path":
            return value.decode("utf-8", "replace")
        raw = raw[int(length) :]
    return ""


def read_member(file: BinaryIO, span: Span) -> bytes:
    """Those bytes of the shard, read together with the header before them.

    Raises CorruptTarError if the file has become shorter, ChangedMemberError if the header is not
    the one that was found when the span was noted.
    """
    if span.offset < _BLOCK or span.size < 0:
        raise ChangedMemberError(f"no member lies at byte {span.offset}")
    if span.offset + span.size > os.fstat(file.fileno()).st_size:
        raise CorruptTarError("truncated_shard")
    content = _pread(file, span.offset - _BLOCK, _BLOCK + span.size)
    if zlib.crc32(content[:_BLOCK]) != span.check:
        raise ChangedMemberError(f"another member lies at byte {span.offset}")
    return bytes(content[_BLOCK:])


def _pread(file: BinaryIO, offset: int, size: int) -> memoryview:
    parts, end = [], offset + size
    while offset < end:  # one pread gives at most 2 GiB
        part = os.pread(file.fileno(), end - offset, offset)
        if not part:
            raise CorruptTarError("truncated_shard")
        parts.append(part)
        offset += len(part)
    return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
