"""Arrays of a `.npz` that a stranger wrote: sizes are known before memory is taken, no pickles."""

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

_END = struct.Struct("<4s4H2LH")  # the record that ends a zip without a comment, as numpy's are
_ZIP64_LOCATOR = 20  # bytes before it
_FIXED, _NAME_AND_EXTRA = 30, struct.Struct("<HH")  # of the header before each file in a zip
_MOST_ENTRIES = 256
_MOST_AXES = 8
_BAD_HEADER = (
    *(TypeError, SyntaxError, LookupError, AttributeError, OverflowError),
    *(tokenize.TokenError, RecursionError, MemoryError),
)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack more than is asked for
_NUMBERS = "buif"  # kinds of dtype: bool, unsigned, signed, float


class BadArraysError(Exception):
    """Arrays that cannot be used: a short reason to count by, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def read_arrays(content: bytes, names: Sequence[str], *, most_bytes: int) -> dict[str, np.ndarray]:
    """Those of the named arrays that are there; raises BadArraysError.

    All of them together may take `most_bytes`, whatever the file claims or unpacks to.
    """
    arrays: dict[str, np.ndarray] = {}
    left = most_bytes
    with _opened(content) as archive:
        present = set(archive.namelist())
        for name in names:
            if f"{name}.npy" not in present:
                continue
            if archive.getinfo(f"{name}.npy").compress_type not in _PACKINGS:
                raise ValueError(f"{name} is compressed as numpy never does")
            with archive.open(f"{name}.npy") as file:
                assert isinstance(file, zipfile.ZipExtFile)
                header = _header(file)
                left -= header.num_bytes
                if left < 0:
                    raise BadArraysError("too_large", f"{name} has shape {header.shape}")
                arrays[name] = _read(file, header)
    return arrays


def stored_at(content: bytes, name: str) -> int | None:
    """The byte at which the numbers of an array begin that lie in the file as they are, in C order.

    None where they lie otherwise. It is asked of what `read_arrays` has read.
    """
    with _opened(content) as archive:
        entry = archive.getinfo(f"{name}.npy")
        with archive.open(entry) as file:
            assert isinstance(file, zipfile.ZipExtFile)
            header = _header(file)
            if entry.compress_type != zipfile.ZIP_STORED or header.fortran:
                return None
            lengths = _NAME_AND_EXTRA.unpack_from(content, entry.header_offset + _FIXED - 4)
            return entry.header_offset + _FIXED + sum(lengths) + file.tell()


@contextmanager
def _opened(content: bytes) -> Iterator[zipfile.ZipFile]:
    """The archive, whose directory is small; what is wrong with it becomes BadArraysError."""
    try:
        _require_small_directory(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError),
        *(NotImplementedError, RuntimeError),  # other compressions, passwords
    ) as error:
        raise BadArraysError("corrupt_episode", f"{type(error).__name__}: {error}") from error


def _require_small_directory(content: bytes) -> None:
    """Raises ValueError unless the zip ends as numpy writes it and lists few files."""
    if len(content) < _END.size:
        raise ValueError("it is too short")
    mark, *_, entries, num_bytes, _, comment = _END.unpack(content[-_END.size :])
    locator = content[-_END.size - _ZIP64_LOCATOR :][:4]
    if mark != b"PK\5\6" or comment or locator == b"PK\6\7":
        raise ValueError("it does not end as an npz does")
    if entries > _MOST_ENTRIES or num_bytes > _MOST_ENTRIES * 256:
        raise ValueError(f"it lists {entries} files in {num_bytes} bytes")


def _header(file: zipfile.ZipExtFile) -> _Header:
    """What an array's first bytes say; raises ValueError where it holds no plain numbers."""
    version = npy.read_magic(file)
    if version != (1, 0):  # a header of a later one may have gigabytes; plain numbers need none
        raise ValueError(f"its version is {version}")
    try:
        length = file.read(2)
        shape, fortran, dtype = _parsed(length + file.read(int.from_bytes(length, "little")))
    except _BAD_HEADER as error:  # numpy evaluates the text, and not all that may be wrong with it
        raise ValueError(f"its header is none: {error}") from error
    if dtype.kind not in _NUMBERS or dtype.hasobject:
        raise BadArraysError("wrong_array", f"dtype {dtype} holds no numbers")
    if len(shape) > _MOST_AXES or any(length < 0 for length in shape):
        raise BadArraysError("wrong_array", f"shape {shape}")
    return _Header(shape, fortran, dtype)


@lru_cache(maxsize=1024)  # of 10,000 bytes at most, or numpy refuses them
def _parsed(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype; numpy compiles the text, which takes longer than many an array."""
    return npy.read_array_header_1_0(io.BytesIO(header))


def _read(file: zipfile.ZipExtFile, header: _Header) -> np.ndarray:
    """The array; raises ValueError where the file has fewer bytes than it says."""
    content = file.read(header.num_bytes)
    if len(content) != header.num_bytes:
        raise ValueError(f"{len(content)} bytes for shape {header.shape}")
    flat = np.frombuffer(content, dtype=header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")
