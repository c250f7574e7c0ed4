"""No bit of an index can be another without a word, and none changes what is read."""

import io
import shutil
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldmodel_train.data.shards.folder_index import INDEX_FILE, IndexedShard, write_folder_index
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.shard_table import ShardTable
from worldmodel_train.data.shards.source import SampleError
from worldmodel_train.data.shards.tar_index import read_shard_table
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS

FILES = {
    "a.tar": {"1.mp4": b"one", "1.npz": b"actions", "1.json": b"{}", "2.mp4": b"two"},
    "b.tar": {"3.webm": b"three", "3.json": b"[]", "4.json": b"{}", "5.mp4": b"5", "5.json": b"1"},
}
NUM_BYTES = 449


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shards, and an index that is damaged and made whole again."""
    made = tmp_path_factory.mktemp("set")
    for name, files in FILES.items():
        with tarfile.open(made / name, "w") as tar:
            for file_name, content in files.items():
                member = tarfile.TarInfo(file_name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    paths = sorted(made.glob("*.tar"))
    shards = [IndexedShard(p.name, p.stat().st_size, read_shard_table(p)) for p in paths]
    write_folder_index(made / INDEX_FILE, shards)
    shutil.copy(made / INDEX_FILE, made / "whole")
    return made


def samples(folder) -> tuple[list[object], int]:
    """What a set of the folder's shards gives in order, and how many of them were scanned."""
    shards = ShardSet([str(folder / name) for name in FILES])
    found = []
    for number in range(len(shards)):
        try:
            sample = shards.video(number)
            found.append(
                (
                    sample.key,
                    sample.shard,
                    sample.video,
                    shards.sample(number, DESCRIBED_VIDEOS).files["json"],
                )
            )
        except SampleError as error:
            found.append(error.skip)
    return found, shards.num_stale


@pytest.fixture(scope="module")
def expected(folder):
    found, stale = samples(folder)
    assert (len(found), stale) == (5, 0)
    (folder / INDEX_FILE).unlink()
    assert samples(folder)[0] == found  # a scan of the tars gives the same
    return found


def refused_or_scanned(folder, content, expected) -> str:
    (folder / INDEX_FILE).write_bytes(content)
    try:
        found, stale = samples(folder)
    except ValueError as error:
        return "refused" if f"wmt data index {folder}" in str(error) else f"no remedy: {error}"
    assert found == expected
    assert stale > 0
    return "scanned"


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(bit=st.integers(0, 8 * NUM_BYTES - 1))
def test_a_flipped_bit_is_refused_or_the_shard_is_scanned(folder, expected, bit):
    content = bytearray((folder / "whole").read_bytes())
    assert len(content) == NUM_BYTES
    content[bit // 8] ^= 1 << bit % 8
    assert refused_or_scanned(folder, content, expected) in ("refused", "scanned")


def test_header_and_directory_are_refused_and_rows_are_scanned(folder, expected):
    whole = (folder / "whole").read_bytes()
    outcomes = []
    for place in (10, 36, 41, 300, -1):
        content = bytearray(whole)
        content[place] ^= 16
        outcomes.append(refused_or_scanned(folder, content, expected))
    assert outcomes == ["refused", "refused", "scanned", "scanned", "refused"]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_table_with_a_flipped_bit_or_another_length_is_refused(folder, data):
    table = read_shard_table(folder / "b.tar")
    block = bytearray(table.to_bytes())
    assert ShardTable.from_bytes(bytes(block), len(table)).to_bytes() == block
    at = data.draw(st.integers(-1, len(block)))
    if at < 0:
        block = block[:-1]
    elif at == len(block):
        block += b"\0"
    else:
        block[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"checksum|bytes, not|ends early"):
        ShardTable.from_bytes(bytes(block), len(table))
