import os
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.shards.folder_index import (
    IndexedShard,
    read_directory,
    read_row,
    write_folder_index,
)
from worldmodel_train.data.shards.shard_table import ROW_BYTES, ShardSample, ShardTable
from worldmodel_train.data.shards.tar_members import Span

SPANS = st.builds(Span, st.integers(0, 2**62), st.integers(0, 2**40), st.integers(0, 2**32 - 1))
EXTENSIONS = st.text(max_size=5).filter(lambda text: not set(text) & set("/."))
SAMPLES = st.builds(
    ShardSample,
    key=st.text(max_size=20),
    spans=st.dictionaries(EXTENSIONS, SPANS, max_size=5),
    problem=st.sampled_from(["", "truncated_shard", "corrupt_shard"]),
)
NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: not set(name) & set(b"/\0"))


@settings(deadline=None, max_examples=25)
@given(shards=st.dictionaries(NAMES, st.lists(SAMPLES, max_size=4), max_size=6))
def test_every_row_comes_back_as_it_was_written(tmp_path_factory, shards):
    path = tmp_path_factory.mktemp("index") / "samples.idx"
    written = write_folder_index(
        path,
        (
            IndexedShard(os.fsdecode(name), i, ShardTable.of(samples))
            for i, (name, samples) in enumerate(shards.items())
        ),
    )
    names, sizes, samples, places, _ = read_directory(path)
    assert written == sum(map(len, shards.values())) == samples.sum()
    assert names.tolist() == sorted(shards)
    assert [list(shards)[size] for size in sizes] == names.tolist()
    with path.open("rb") as file:
        for name, count, place in zip(names.tolist(), samples, places, strict=True):
            rows = [read_row(file.fileno(), int(place), int(count), i) for i in range(count)]
            assert rows == shards[name]
            assert [[*row.spans] for row in rows] == [[*sample.spans] for sample in shards[name]]


@pytest.fixture
def index(tmp_path):
    sample = ShardSample(key="k", spans={"mp4": Span(512, 3, 4), "json": Span(2048, 6, 7)})
    path = tmp_path / "samples.idx"
    shards = [IndexedShard(f"{i}.tar", 10, ShardTable.of([sample])) for i in range(3)]
    write_folder_index(path, shards)
    return path


@pytest.mark.parametrize("cut", [0, 7, 30, 38, -1])
def test_an_index_that_was_cut_is_refused(index, cut):
    content = index.read_bytes()
    index.write_bytes(content[:cut])
    with pytest.raises(ValueError, match="wmt data index"):
        read_directory(index)


@pytest.mark.parametrize(
    ("at", "why"), [(0, "begin"), (7, "version"), (20, "cut|checksum"), (-3, "checksum")]
)
def test_an_index_with_other_bytes_is_refused(index, at, why):
    content = bytearray(index.read_bytes())
    content[at] ^= 0x55
    index.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        read_directory(index)


def test_the_version_before_and_later_ones_are_told_apart(index):
    content = bytearray(index.read_bytes())
    content[7] = ord("3")
    index.write_bytes(content)
    with pytest.raises(ValueError, match=r"version is b'03'.*wmt data index"):
        read_directory(index)


@pytest.mark.parametrize(("column", "value"), [(0, -1), (1, -1), (1, 2**61), (2, -5), (2, 2**62)])
def test_a_directory_that_claims_nonsense_under_right_checksums_is_refused(index, column, value):
    content = bytearray(index.read_bytes())
    _, shards, _, start, _, _ = struct.unpack("<8sQQQII", content[:40])
    struct.pack_into("<q", content, start + 8 * shards * column, value)
    struct.pack_into("<I", content, 32, zlib.crc32(content[start:]))
    struct.pack_into("<I", content, 36, zlib.crc32(content[:36]))
    index.write_bytes(content)
    with pytest.raises(ValueError, match="more than it can hold"):
        read_directory(index)


def test_rows_beyond_the_end_and_rows_of_nonsense_are_errors(index):
    with index.open("rb") as file, pytest.raises(ValueError, match="ends early"):
        read_row(file.fileno(), 10**6, 1, 0)
    index.write_bytes(b"\xff" * 400)
    with index.open("rb") as file, pytest.raises(ValueError, match="checksum of row 0"):
        read_row(file.fileno(), 0, 1, 0)


def test_a_row_is_no_other_row_and_takes_no_memory_for_what_it_claims(index):
    with index.open("rb") as file, pytest.raises(ValueError, match="checksum of row 1"):
        read_row(file.fileno(), 40 - ROW_BYTES, 1, 1)
    row = struct.pack("<QIIII", 0, 2**32 - 1, 2**32 - 1, 0, 0)[:-4]
    index.write_bytes(row + zlib.crc32(row, 0).to_bytes(4, "little"))
    with index.open("rb") as file, pytest.raises(ValueError, match="claims"):
        read_row(file.fileno(), 0, 1, 0)


def test_a_write_that_fails_leaves_the_old_index(index):
    def failing():
        yield IndexedShard("0.tar", 10, ShardTable.of([]))
        raise OSError("disk full")

    before = index.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        write_folder_index(index, failing())
    assert index.read_bytes() == before
    assert list(index.parent.iterdir()) == [index]
