"""Small QuickTime files that ask a reader for gigabytes: their tables are a few bytes long."""

import struct
from collections.abc import Callable, Iterator, Sequence

import pytest


def _atom(kind: bytes, *parts: bytes) -> bytes:
    """A box of ISO/IEC 14496-12."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _mov(  # noqa: PLR0913 - a movie's tables
    data: bytes,
    *,
    count: int,
    each: int,
    codec: bytes = b"png ",
    size: tuple[int, int] = (64, 48),
    overlap: bool = False,
    edits: Sequence[tuple[int, int]] = (),
) -> bytes:
    """A movie of `count` samples of `each` bytes: one behind the other, or all on the same bytes.

    `edits` are pairs of duration and media time in frames; ten frames are a second.
    """
    fixed = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    width, height = size
    header = _atom(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    begins = len(header) + 8
    chunks, per_chunk = (count, 1) if overlap else (1, count)
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, width, height, 72 << 16, 72 << 16, 1, 24, -1)
    table = _atom(
        b"stbl",
        _atom(b"stsd", struct.pack(">II", 0, 1), _atom(codec, entry)),
        _atom(b"stts", struct.pack(">IIII", 0, 1, count, 1)),
        _atom(b"stsc", struct.pack(">IIIII", 0, 1, 1, per_chunk, 1)),
        _atom(b"stsz", struct.pack(">III", 0, each, count)),
        _atom(b"stco", struct.pack(">II", 0, chunks), struct.pack(">I", begins) * chunks),
    )
    track = _atom(
        b"trak",
        _atom(
            b"tkhd",
            struct.pack(">IIIIII16x", 1, 0, 0, 1, 0, count),
            fixed,
            struct.pack(">II", width << 16, height << 16),
        ),
        *_edit_list(edits),
        _atom(
            b"mdia",
            _atom(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 10, count, 0, 0)),
            _atom(b"hdlr", struct.pack(">I4s4s12xB", 0, b"mhlr", b"vide", 0)),
            _atom(b"minf", _atom(b"vmhd", bytes(12)), table),
        ),
    )
    movie = _atom(
        b"mvhd",
        struct.pack(">IIIIIIH10x", 0, 0, 0, 10, count, 1 << 16, 256),
        fixed,
        bytes(24),
        struct.pack(">I", 2),
    )
    return header + _atom(b"mdat", data) + _atom(b"moov", movie, track)


def _edit_list(edits: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    if not edits:
        return
    rows = b"".join(struct.pack(">IiI", duration, start, 1 << 16) for duration, start in edits)
    yield _atom(b"edts", _atom(b"elst", struct.pack(">II", 0, len(edits)), rows))


@pytest.fixture(scope="session")
def make_mov() -> Callable[..., bytes]:
    """Writes a movie of samples by hand."""
    return _mov
