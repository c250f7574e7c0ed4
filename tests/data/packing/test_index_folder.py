import gzip
import shutil

import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.index_folder import index_folder
from worldmodel_train.data.shards.folder_index import INDEX_FILE, read_directory
from worldmodel_train.data.shards.tar_index import read_shard_table


def test_an_index_made_afterwards_is_the_one_that_packing_writes(tmp_path, packed):
    shutil.copytree(packed, tmp_path / "set")
    index = tmp_path / "set" / INDEX_FILE
    index.unlink()
    report = index_folder(tmp_path / "set", workers=2, timeout_s=60.0)
    assert index.read_bytes() == (packed / INDEX_FILE).read_bytes()
    assert (report.shards, report.samples) == (3, 6)


def test_the_index_of_packing_lists_every_shard_with_its_size_and_samples(packed):
    names, sizes, samples, *_ = read_directory(packed / INDEX_FILE)
    shards = sorted(packed.glob("*.tar"))
    assert [name.decode() for name in names] == [shard.name for shard in shards]
    assert sizes.tolist() == [shard.stat().st_size for shard in shards]
    assert samples.tolist() == [len(read_shard_table(shard)) for shard in shards]


def test_unusable_samples_are_indexed_with_their_reason(tmp_path, make_shard):
    make_shard("a.tar", {"1": b"v", "2": b"v", "3": b"v"}, without_json=["1", "3"])
    report = index_folder(tmp_path, workers=1, timeout_s=60.0)
    assert report.samples == 3
    assert report.unusable == {"missing_json": 2}
    assert report.lines(tmp_path)[-1] == "of these unusable: 2 missing_json"


def test_a_folder_without_shards_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(PackError, match=r"holds no \.tar"):
        index_folder(tmp_path, workers=1, timeout_s=60.0)
    with pytest.raises(PackError, match="no such folder"):
        index_folder(tmp_path / "none", workers=1, timeout_s=60.0)


def test_compressed_shards_are_named_and_not_indexed(tmp_path, make_shard):
    shard = make_shard("b.tar", {"1": b"v"})
    (tmp_path / "a.tar").write_bytes(gzip.compress(shard.read_bytes()))
    report = index_folder(tmp_path, workers=1, timeout_s=60.0)
    assert (report.samples, report.lost) == (1, ["a.tar: compressed, with gzip: decompress it"])


def test_a_folder_of_compressed_shards_says_what_to_do(tmp_path):
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(PackError, match=r"a\.tar\.gz is compressed.*gunzip the shards"):
        index_folder(tmp_path, workers=1, timeout_s=60.0)
