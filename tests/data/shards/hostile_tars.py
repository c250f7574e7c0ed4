"""Tars as nobody should write them, and what reading each of them must give."""

import gzip

VIDEO = b"v" * 700
BIG = 1001  # bytes; tests set the limit of a video to 1000
END = bytes(1024)


def octal(number, width=11):
    return b"%0*o\0" % (width, number)


def base256(number, first=0x80):
    return bytes([first]) + number.to_bytes(11, "big")


def header(name, size=0, kind=b"0", *, prefix=b"", magic=b"ustar\x0000", more=b""):
    """A header block; `size` is a number or the field itself, `more` replaces its last bytes."""
    field = octal(size) if isinstance(size, int) else size
    name = name if isinstance(name, bytes) else name.encode()
    block = name[:100].ljust(100, b"\0") + octal(0o644, 7) + octal(0, 7) * 2
    block += field + octal(0) + b" " * 8 + kind + bytes(100) + magic
    block = block.ljust(345, b"\0") + prefix
    block = block.ljust(512 - len(more), b"\0") + more
    return with_checksum(block, sum(block))


def with_checksum(block, total):
    return block[:148] + octal(total, 6) + b" " + block[156:]


def header_of_old(name):
    """A header whose checksum is the sum of signed bytes."""
    block = header(name)
    blank = block[:148] + b" " * 8 + block[156:]
    return with_checksum(block, sum(blank) - 256 * sum(byte >= 0x80 for byte in blank))


def padded(content):
    return content + bytes(-len(content) % 512)


def file(name, content=VIDEO, kind=b"0", **options):
    return header(name, len(content), kind, **options) + padded(content)


def sample(key, video=VIDEO):
    return file(f"{key}.mp4", video) + file(f"{key}.json", b"{}")


def pax(fields, kind=b"x"):
    body = b""
    for keyword, value in fields.items():
        record = b" " + keyword + b"=" + value + b"\n"
        length = len(record)
        while length != len(b"%d" % length) + len(record):
            length = len(b"%d" % length) + len(record)
        body += b"%d" % length + record
    return file("pax", body, kind)


def long_name(name):
    return file("././@LongLink", name + b"\0", b"L")


def flipped(content, byte, bit):
    changed = bytearray(content)
    changed[byte] ^= 1 << bit
    return bytes(changed)


ONE, TWO = sample("1"), sample("2")
SPARSE_MAP = b"".join(octal(512 * i) for i in range(8)).ljust(96, b"\0")
OLD_SPARSE = (
    header(
        "s.mp4", 512, b"S", magic=b"ustar  \0", more=SPARSE_MAP + b"\1" + octal(1 << 33) + bytes(17)
    )
    + bytes(504)
    + b"\1"  # two more blocks of its map
    + bytes(7 + 512)
    + b"d" * 512
)
NAME = b"n" * 10_000

# what is read: keys of good samples, and the reasons of the others with the key
HOSTILE = {
    "whole": (ONE + TWO + END, ["1", "2"]),
    "cut between samples": (ONE + TWO, ["1", "2", "truncated_shard "]),
    "cut between members": (ONE + file("2.mp4"), ["1", "truncated_shard 2"]),
    "cut in the first member": (ONE + file("2.mp4")[:900], ["1", "truncated_shard 2"]),
    "cut in the second member": (
        ONE + file("2.mp4") + file("2.json", b"{}")[:513],
        ["1", "truncated_shard 2"],
    ),
    "cut in the padding": (
        ONE + file("2.mp4") + file("2.json", b"{}")[:514],
        ["1", "2", "truncated_shard "],
    ),
    "cut in a header": (ONE + TWO + header("3.mp4")[:100], ["1", "2", "truncated_shard "]),
    "cut in a long name": (ONE + long_name(NAME)[:900], ["1", "truncated_shard "]),
    "one empty block": (ONE + bytes(512), ["1"]),
    "a flipped bit of a name": (ONE + flipped(TWO, 0, 1) + END, ["1", "corrupt_shard "]),
    "a flipped bit of a size": (ONE + flipped(TWO, 130, 0) + END, ["1", "corrupt_shard "]),
    "a flipped bit of a checksum": (ONE + flipped(TWO, 150, 0) + END, ["1", "corrupt_shard "]),
    "a signed checksum": (
        header_of_old(b"\xe4.mp4") + header_of_old(b"\xe4.json") + END,
        ["\N{REPLACEMENT CHARACTER}"],
    ),
    "long names in a chain": (ONE + long_name(b"a") * 5000 + TWO + END, ["1", "corrupt_shard "]),
    "pax headers in a chain": (
        ONE + pax({b"path": b"a"}) * 5000 + TWO + END,
        ["1", "corrupt_shard "],
    ),
    "pax headers for all in a chain": (
        ONE + pax({b"a": b"b"}, b"g") * 5000 + TWO + END,
        ["1", "corrupt_shard "],
    ),
    "all kinds of words once": (
        long_name(b"a")
        + file("k", b"link\0", b"K")
        + pax({b"a": b"b"}, b"g")
        + pax({b"path": b"7.mp4"})
        + file("x")
        + file("7.json")
        + END,
        ["7"],
    ),
    "a long name": (
        long_name(NAME + b".mp4") + file("x") + long_name(NAME + b".json") + file("y") + END,
        [NAME.decode()],
    ),
    "a path of 70,000 letters": (
        ONE + pax({b"path": b"n" * 70_000 + b".mp4"}) + file("x") + END,
        ["1", "corrupt_shard "],
    ),
    "a long name of 70,000 letters": (
        ONE + long_name(b"n" * 70_000) + file("x") + END,
        ["1", "corrupt_shard "],
    ),
    "a pax length of nothing": (
        ONE + file("x", b"0 path=a\n", b"x") + END,
        ["1", "corrupt_shard "],
    ),
    "a pax length too long": (ONE + file("x", b"99 path=a\n", b"x") + END, ["1", "corrupt_shard "]),
    "a pax length too short": (ONE + file("x", b"8 path=a\n", b"x") + END, ["1", "corrupt_shard "]),
    "a pax length of 5000 digits": (
        ONE + file("x", b"9" * 5000 + b" path=a\n", b"x") + END,
        ["1", "corrupt_shard "],
    ),
    "a pax record without a value": (
        ONE + file("x", b"8 path\n\n", b"x") + END,
        ["1", "corrupt_shard "],
    ),
    "a pax time that is no number": (pax({b"mtime": b"now"}) + ONE + END, ["1"]),
    "a pax size that is no number": (
        ONE + pax({b"size": b"1e3"}) + TWO + END,
        ["1", "corrupt_shard "],
    ),
    "a negative pax size": (ONE + pax({b"size": b"-512"}) + TWO + END, ["1", "corrupt_shard "]),
    "a pax size of 5000 digits": (
        ONE + pax({b"size": b"9" * 5000}) + TWO + END,
        ["1", "corrupt_shard "],
    ),
    "a pax size that counts": (
        pax({b"size": b"700"}) + header("1.mp4") + padded(VIDEO) + file("1.json") + TWO + END,
        ["1", "2"],
    ),
    "a pax size of 10^15": (
        ONE + pax({b"size": b"%d" % 10**15}) + TWO + END,
        ["1", "truncated_shard 2"],
    ),
    "a binary size": (
        header("1.mp4", base256(700)) + padded(VIDEO) + file("1.json") + END,
        ["1"],
    ),
    "a binary size of 10^15": (
        ONE + header("2.mp4", base256(10**15)) + VIDEO + END,
        ["1", "truncated_shard 2"],
    ),
    "a binary size of 2^88": (
        ONE + header("2.mp4", base256(2**88 - 1)) + VIDEO + END,
        ["1", "truncated_shard 2"],
    ),
    "a negative binary size": (
        ONE + header("2.mp4", base256(2**88 - 512, 0xFF)) + VIDEO + END,
        ["1", "corrupt_shard "],
    ),
    "a size that is no number": (
        ONE + header("2.mp4", b"12x45678901\0") + VIDEO + END,
        ["1", "corrupt_shard "],
    ),
    "a sparse file of GNU": (ONE + OLD_SPARSE + TWO + END, ["1", "2"]),
    "a sparse file of GNU, cut in its map": (ONE + OLD_SPARSE[:1000], ["1", "truncated_shard "]),
    "a sparse file of pax": (
        ONE
        + pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"9" * 10})
        + file("s.mp4")
        + TWO
        + END,
        ["1", "2"],
    ),
    "a pax header of 10^15 bytes": (
        ONE + header("x", base256(10**15), b"x") + TWO,
        ["1", "corrupt_shard "],
    ),
    "a long name of a gigabyte": (ONE + header("x", 1 << 30, b"L") + TWO, ["1", "corrupt_shard "]),
    "folders, links and devices": (
        b"".join(header("1.mp4", 4096, kind) for kind in (b"1", b"2", b"3", b"4", b"5", b"6"))
        + ONE
        + file("d/", b"", b"0")
        + TWO
        + END,
        ["1", "2"],
    ),
    "kinds that nobody knows": (file("9.mp4", VIDEO, b"Z") + ONE + END, ["1"]),
    "nothing": (b"", ["empty_shard "]),
    "empty blocks": (bytes(10240), ["empty_shard "]),
    "nothing but a folder": (header("d/", 0, b"5") + END, ["empty_shard "]),
    "a few letters": (b"hello", ["truncated_shard "]),
    "a web page": (b"<html><body>404</body></html>" * 99, ["corrupt_shard "]),
    "noise": (bytes(i * i * 7 % 251 for i in range(5000)), ["corrupt_shard "]),
    "a packed shard": (gzip.compress(ONE + END), ["compressed_shard "]),
    "a key twice in a row": (ONE + ONE + END, ["1"]),
    "a key twice": (ONE + TWO + ONE + END, ["1", "2", "1"]),
    "no json": (file("1.mp4") + TWO + END, ["missing_json 1", "2"]),
    "no video": (file("1.json", b"{}") + TWO + END, ["missing_video 1", "2"]),
    "two videos": (file("1.webm", b"w") + ONE + END, ["1"]),
    "one video twice": (file("1.mp4", b"w" * 600) + ONE + END, ["1"]),
    "a large video": (sample("1", b"v" * BIG) + TWO + END, ["too_large 1", "2"]),
    "a large file that is no video": (file("1.npy", b"n" * BIG) + ONE + END, ["1"]),
    "more extensions than a sample has": (
        b"".join(file(f"1.a{i}", b"") for i in range(260)) + ONE + END,
        ["missing_video 1"],
    ),
    "files without bytes": (sample("1", b"") + TWO + END, ["1", "2"]),
    "names that are not UTF-8": (
        file(b"\xff\xfe.mp4") + file(b"\xff\xfe.json") + END,
        ["\N{REPLACEMENT CHARACTER}" * 2],
    ),
    "names that leave the folder": (
        sample("../../1") + sample("/etc/2") + END,
        ["../../1", "/etc/2"],
    ),
    "a folder in the prefix": (
        file("1.mp4", prefix=b"a") + file("1.json", prefix=b"a") + END,
        ["a/1"],
    ),
    "times where ustar has the folder": (
        file("1.mp4", prefix=octal(9), magic=b"ustar  \0")
        + file("1.json", prefix=octal(8), magic=b"ustar  \0")
        + END,
        ["1"],
    ),
}
