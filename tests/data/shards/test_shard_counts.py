import json
import logging

import pytest

from worldmodel_train.data.shards.folder_index import INDEX_FILE, IndexedShard, write_folder_index
from worldmodel_train.data.shards.shard_counts import UNKNOWN, count_samples
from worldmodel_train.data.shards.shard_files import ShardFiles
from worldmodel_train.data.shards.tar_index import read_shard_table


def write_index(path, samples, num_bytes, version=1):
    shard = {"name": path.name, "samples": samples, "bytes": num_bytes, "sha256": "0"}
    (path.parent / "index.json").write_text(json.dumps({"version": version, "shards": [shard]}))


def write_rows(*paths):
    shards = [IndexedShard(p.name, p.stat().st_size, read_shard_table(p)) for p in paths]
    write_folder_index(paths[0].parent / INDEX_FILE, shards)


def counts(*paths):
    return count_samples(ShardFiles.of(map(str, paths))).samples.tolist()


def test_counts_come_from_the_index_without_a_look_at_the_shard(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    write_index(path, 17, 5)
    assert counts(path) == [17]


def test_shards_without_an_index_are_scanned(make_shard):
    assert counts(make_shard("a.tar", {"1": b"v", "2": b"v"}), make_shard("b.tar", {})) == [2, 0]


def test_the_index_with_the_rows_comes_first_and_knows_their_places(make_shard):
    paths = [make_shard("b.tar", {"1": b"v", "2": b"v"}), make_shard("a.tar", {"3": b"v"})]
    write_rows(*paths)
    write_index(paths[0], 17, 5)
    found = count_samples(ShardFiles.of(map(str, paths)))
    assert found.samples.tolist() == [2, 1]
    assert found.sizes.tolist() == [path.stat().st_size for path in paths]
    assert (found.places != UNKNOWN).all()


def test_shards_that_the_index_does_not_list_are_scanned_beside_those_it_lists(make_shard):
    paths = [make_shard(f"{n}.tar", {str(i): b"v" for i in range(n)}) for n in (1, 2, 3)]
    write_rows(paths[1])
    assert counts(*paths) == [1, 2, 3]


def test_an_indexed_shard_that_is_gone_is_named_and_one_not_asked_for_is_not(make_shard, caplog):
    paths = [make_shard(f"{n}.tar", {"1": b"v"}) for n in range(3)]
    write_rows(*paths)
    with caplog.at_level(logging.WARNING):
        assert counts(paths[0]) == [1]
    assert not caplog.text
    paths[1].unlink()
    assert counts(paths[0]) == [1]
    assert "1 shards of its index are missing, the first is 1.tar" in caplog.text


@pytest.mark.parametrize("text", ["[]", '{"version": 7}', '{"shards": 3}'])
def test_an_index_of_another_program_is_passed_over_with_one_warning(make_shard, caplog, text):
    paths = [make_shard(name, {"1": b"v"}) for name in ("a.tar", "b.tar")]
    (paths[0].parent / "index.json").write_text(text)
    assert counts(*paths) == [1, 1]
    assert caplog.text.count("is not an index of shards") == 1


@pytest.mark.parametrize(
    "text",
    [
        "[", '{"version": 1, "shards": [{}]}', "[" * 100_000, "9" * 5000, '{"version": NaN}',
        '{"version": 1, "shards": [{"name": "\\ud83d", "bytes": 1, "samples": 1}]}',
        '{"version": 1, "shards": [{"name": "a", "bytes": 1, "samples": 18446744073709551615}]}',
        '{"version": 1, "shards": [{"name": "a", "bytes": 1, "samples": 4611686018427387904}]}',
        '{"version": 1, "shards": [{"name": "a", "bytes": 1, "samples": -5}]}',
    ],
)  # fmt: skip
def test_a_broken_index_is_named_with_the_remedy(make_shard, text):
    path = make_shard("a.tar", {"1": b"v"})
    index = path.parent / "index.json"
    index.write_text(text)
    with pytest.raises(ValueError, match="make it again with `wmt data pack`") as error:
        counts(path)
    assert str(error.value).startswith(f"{index}: ")
    assert len(str(error.value)) < 400


def test_an_index_of_another_version_is_refused(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    write_index(path, 1, 1, version=2)
    with pytest.raises(ValueError, match="version 2"):
        counts(path)
