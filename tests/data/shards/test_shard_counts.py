import json

import pytest

from worldmodel_train.data.shards.shard_counts import count_samples


def write_index(path, samples, num_bytes, version=1):
    shard = {"name": path.name, "samples": samples, "bytes": num_bytes, "sha256": "0"}
    (path.parent / "index.json").write_text(json.dumps({"version": version, "shards": [shard]}))


def test_counts_come_from_the_index_without_opening_the_shard(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    write_index(path, 17, path.stat().st_size)
    assert count_samples([path]).tolist() == [17]


def test_a_shard_that_is_not_the_indexs_is_scanned(make_shard):
    path = make_shard("a.tar", {"1": b"v", "2": b"v"})
    write_index(path, 17, 5)
    assert count_samples([path]).tolist() == [2]


def test_shards_without_an_index_are_scanned(make_shard):
    paths = [make_shard("a.tar", {"1": b"v", "2": b"v"}), make_shard("b.tar", {})]
    assert count_samples(paths).tolist() == [2, 0]


@pytest.mark.parametrize("text", ["[]", '{"version": 7}', '{"shards": 3}'])
def test_an_index_of_another_program_is_passed_over_with_one_warning(make_shard, caplog, text):
    paths = [make_shard(name, {"1": b"v"}) for name in ("a.tar", "b.tar")]
    (paths[0].parent / "index.json").write_text(text)
    assert count_samples(paths).tolist() == [1, 1]
    assert caplog.text.count("is not an index of shards") == 1


@pytest.mark.parametrize("text", ["[", '{"version": 1, "shards": [{}]}'])
def test_a_broken_index_is_named(make_shard, text):
    path = make_shard("a.tar", {"1": b"v"})
    (path.parent / "index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index\.json is not an index"):
        count_samples([path])


def test_an_index_of_another_version_is_refused(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    write_index(path, 1, 1, version=2)
    with pytest.raises(ValueError, match="version 2"):
        count_samples([path])
