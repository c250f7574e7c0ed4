"""The files inside a tar, found by reading headers only; nothing is extracted.

One parser reads files and streams alike, so that both count the same. Whatever a tar claims costs
no more than a few blocks of memory: what is bounded is said where it is bounded.
"""

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

from worldmodel_train.data.shards.tar_header import (
    BLOCK,
    CorruptTarError,
    CutMemberError,
    PaxFields,
    compression_of,
    parse_header,
    pax_fields,
    text_of,
)

_NAME_LIMIT = 1 << 16  # bytes; a longer name or pax header is an attack, not a name
_MOST_WORDS = 16  # headers in a row that only say more about the next file
_WORDS = (b"L", b"K", b"x", b"X", b"g")  # GNU's long name and link, pax, Solaris' pax, pax for all
_REGULAR = (b"0", b"\0", b"7")
_WITHOUT_BYTES = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders, FIFOs


class ChangedMemberError(Exception):
    """Where a member should lie, the shard has something else."""


class Span(NamedTuple):
    """A file's bytes in a shard, and the CRC-32 of the tar header that stands before them."""

    offset: int
    size: int
    check: int


class Member(NamedTuple):
    """A file inside a tar: its name, only ever used as a key, and its bytes' place."""

    name: str
    span: Span


@runtime_checkable
class TarBytes(Protocol):
    """The bytes of a tar, asked for at positions that never go back."""

    def read(self, position: int, size: int) -> bytes:
        """So many bytes from there on, fewer only where the tar ends."""
        ...

    def reaches(self, position: int) -> bool:
        """Whether the tar has all bytes before this position."""
        ...


class FileBytes:
    """A tar on a file system, of which only what is asked for is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._size = os.fstat(self._descriptor).st_size

    def read(self, position: int, size: int) -> bytes:
        """So many bytes from there on, fewer only where the tar ends."""
        return os.pread(self._descriptor, size, position)

    def reaches(self, position: int) -> bool:
        """Whether the file has all bytes before this position."""
        return position <= self._size


def tar_members(tar: TarBytes) -> Iterator[Member]:
    """The regular files of a tar; raises CorruptTarError where it ends early or is no tar.

    A file that claims more bytes than there are is yielded before the error is raised, so that its
    sample can be counted. Sparse files, links, devices and folders are passed over.
    """
    position, words, num_words, for_all = 0, PaxFields(), 0, PaxFields()
    while block := _header_block(tar, position):
        header = parse_header(block)
        position += BLOCK
        if header.kind in _WORDS:
            body = _body(tar, position, header.size)
            if header.kind == b"g":
                for_all = pax_fields(body).over(for_all)
            else:
                words = _with_words(words, header.kind, body)
            num_words += 1
            if num_words > _MOST_WORDS:
                raise CorruptTarError("corrupt_shard")
            position += _padded(header.size)
            continue
        fields, words, num_words = words.over(for_all), PaxFields(), 0
        name = header.name if fields.path is None else fields.path
        size = header.size if fields.size is None else fields.size
        if header.kind in _WITHOUT_BYTES:
            size = 0
        if header.kind == b"S":
            position = _after_sparse_map(tar, block, position)
        is_file = header.kind in _REGULAR and not fields.sparse and not name.endswith("/")
        if is_file:
            yield Member(name, Span(position, size, zlib.crc32(block)))
        if not tar.reaches(position + size):
            raise (CutMemberError if is_file else CorruptTarError)("truncated_shard")
        position += _padded(size)


def read_member(file: BinaryIO, span: Span) -> bytes:
    """Those bytes of the shard, read together with the header before them.

    Raises CorruptTarError if the file has become shorter, ChangedMemberError if the header is not
    the one that was found when the span was noted.
    """
    _require_room(file, span)
    content = _pread(file, span.offset - BLOCK, BLOCK + span.size)
    _require_header(content[:BLOCK], span)
    return bytes(content[BLOCK:])


def read_part(file: BinaryIO, span: Span, part: range) -> bytes:
    """Some of those bytes, counted from the member's first; raises what `read_member` raises."""
    assert 0 <= part.start <= part.stop <= span.size, (part, span)
    _require_room(file, span)
    _require_header(_pread(file, span.offset - BLOCK, BLOCK), span)
    return bytes(_pread(file, span.offset + part.start, len(part)))


def _require_room(file: BinaryIO, span: Span) -> None:
    if span.offset < BLOCK or span.size < 0:
        raise ChangedMemberError(f"no member lies at byte {span.offset}")
    if span.offset + span.size > os.fstat(file.fileno()).st_size:
        raise CorruptTarError("truncated_shard")


def _require_header(block: memoryview, span: Span) -> None:
    if zlib.crc32(block) != span.check:
        raise ChangedMemberError(f"another member lies at byte {span.offset}")


def _header_block(tar: TarBytes, position: int) -> bytes:
    """The block at `position`; empty at the end of the archive."""
    block = tar.read(position, BLOCK)
    if position == 0 and not block:
        return b""  # a file without a byte has no samples
    if position == 0 and compression_of(block):
        raise CorruptTarError("compressed_shard")
    if len(block) < BLOCK:
        raise CorruptTarError("truncated_shard")  # a whole tar ends with an empty block
    return block if any(block) else b""


def _body(tar: TarBytes, position: int, size: int) -> bytes:
    if size > _NAME_LIMIT:
        raise CorruptTarError("corrupt_shard")
    body = tar.read(position, size)
    if len(body) < size:
        raise CorruptTarError("truncated_shard")
    return body


def _with_words(words: PaxFields, kind: bytes, body: bytes) -> PaxFields:
    """What is known of the next file after one more header; a pax path outdoes GNU's long name."""
    if kind == b"K":
        return words
    if kind == b"L":
        return words.over(PaxFields(path=text_of(body)))
    return pax_fields(body).over(words)


def _after_sparse_map(tar: TarBytes, block: bytes, position: int) -> int:
    """Where the bytes of an old GNU sparse file begin: more of its map may follow the header."""
    more = block[482]
    while more:
        block = tar.read(position, BLOCK)
        if len(block) < BLOCK:
            raise CorruptTarError("truncated_shard")
        more, position = block[504], position + BLOCK
    return position


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _pread(file: BinaryIO, offset: int, size: int) -> memoryview:
    parts, end = [], offset + size
    while offset < end:  # one pread gives at most 2 GiB
        part = os.pread(file.fileno(), end - offset, offset)
        if not part:
            raise CorruptTarError("truncated_shard")
        parts.append(part)
        offset += len(part)
    return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
