"""What the blocks between the files of a tar say: ustar headers, and the records of pax headers."""

from typing import NamedTuple

BLOCK = 512
_MOST_DIGITS = 20  # of a size in decimals; int() itself gives up at some thousands of them
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
}


class CorruptTarError(Exception):
    """A tar that cannot be read further; says why in one word."""


class CutMemberError(CorruptTarError):
    """The tar ends inside the member found last."""


class Header(NamedTuple):
    """What stands before a file, or before more words about the next one."""

    kind: bytes
    name: str
    size: int
    """Bytes that follow, by the header."""


class PaxFields(NamedTuple):
    """What a pax header changes of the file behind it; None where it says nothing."""

    path: str | None = None
    size: int | None = None
    sparse: bool = False

    def over(self, other: "PaxFields") -> "PaxFields":
        """These fields, and the other's where these say nothing."""
        return PaxFields(
            other.path if self.path is None else self.path,
            other.size if self.size is None else self.size,
            self.sparse or other.sparse,
        )


def parse_header(block: bytes) -> Header:
    """What a header says; raises CorruptTarError where its checksum or its size is wrong."""
    expected = _octal(block[148:156])
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if expected != total and expected != total - _signed_difference(block):
        raise CorruptTarError("corrupt_shard")
    return Header(block[156:157], _name(block), _size(block[124:136]))


def compression_of(start: bytes) -> str | None:
    """What packed a file that begins with these bytes; None where it may be a tar."""
    return next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)


def text_of(raw: bytes) -> str:
    """The text before the first zero byte."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def pax_fields(body: bytes) -> PaxFields:
    """What the records of a pax header change; raises CorruptTarError where they are none."""
    path, size, sparse = None, None, False
    for key, value in _pax_records(body.rstrip(b"\0")):
        if key == b"path":
            path = value.decode("utf-8", "replace") or None
        elif key == b"size":
            size = _decimal(value) if value else None
        elif key.startswith(b"GNU.sparse."):
            sparse = True
    return PaxFields(path, size, sparse)


def _pax_records(body: bytes) -> list[tuple[bytes, bytes]]:
    """Keyword and value of each record, which is a line: its length, a space, keyword=value."""
    records, begin = [], 0
    while begin < len(body):
        space = body.find(b" ", begin, begin + _MOST_DIGITS + 1)
        end = begin + _decimal(body[begin : max(space, begin)])
        keyword, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(body) or not equals or body[end - 1 : end] != b"\n":
            raise CorruptTarError("corrupt_shard")
        records.append((keyword, value))
        begin = end
    return records


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise CorruptTarError("corrupt_shard")
    return int(digits)


def _signed_difference(block: bytes) -> int:
    """By how much a checksum of signed bytes is less; some old programs wrote that."""
    return 256 * sum(byte >= 0x80 for byte in block[:148] + block[156:])


def _size(field: bytes) -> int:
    if field[0] < 0x80:
        return _octal(field)
    if field[0] != 0x80:  # GNU's binary numbers: 0xff begins a negative one
        raise CorruptTarError("corrupt_shard")
    return int.from_bytes(field[1:], "big")


def _octal(field: bytes) -> int:
    digits = field.split(b"\0", 1)[0].strip(b" ") or b"0"
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise CorruptTarError("corrupt_shard")
    return int(digits, 8)


def _name(block: bytes) -> str:
    # GNU's own format has other things where ustar has the folder
    has_prefix = block[257:262] == b"ustar" and block[257:264] != b"ustar  "
    prefix = text_of(block[345:500]) if has_prefix else ""
    return f"{prefix}/{text_of(block[:100])}" if prefix else text_of(block[:100])
