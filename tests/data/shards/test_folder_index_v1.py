"""`version1/` was written by the program of that version; its shard has four samples."""

import shutil
from pathlib import Path

import pytest

from worldmodel_train.data.packing.index_folder import index_folder
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import SampleError
from worldmodel_train.data.shards.wanted_files import DESCRIBED_VIDEOS

OLD = Path(__file__).parent / "version1"


def found(folder):
    shards = ShardSet([str(folder / "a.tar")])
    assert len(shards) == 4
    read = []
    for number in range(4):
        try:
            sample = shards.video(number)
            read.append(
                (sample.key, sample.video, shards.sample(number, DESCRIBED_VIDEOS).files["json"])
            )
        except SampleError as error:
            read.append((error.skip.reason, error.skip.key))
    assert shards.num_stale == 0
    return read


SAMPLES = [
    ("good", b"video of good", b'{"label": "a"}'),
    ("missing_json", "no-json"),
    ("missing_video", "no-video"),
    ("last", b"video of last", b"{}"),
]


def test_an_index_of_version_1_is_read_without_a_scan_and_named(caplog):
    assert found(OLD) == SAMPLES
    assert "is of version 1" in caplog.text
    assert f"wmt data index {OLD}" in caplog.text


def test_making_the_index_again_gives_it_checksums(tmp_path, caplog):
    folder = shutil.copytree(OLD, tmp_path / "set")
    index_folder(folder, workers=1, timeout_s=30.0)
    assert found(folder) == SAMPLES
    assert "version 1" not in caplog.text


@pytest.mark.parametrize(("place", "value"), [(36 + 46, 9), (36 + 1, 6)])
def test_rows_that_point_nowhere_are_scanned(tmp_path, place, value):
    folder = shutil.copytree(OLD, tmp_path / "set")
    content = bytearray((folder / "samples.idx").read_bytes())
    content[place] = value
    (folder / "samples.idx").write_bytes(content)
    shards = ShardSet([str(folder / "a.tar")])
    assert shards.video(0).video == b"video of good"
    assert shards.num_stale == 1
