import os

import pytest

from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.source import SampleError


@pytest.fixture
def shards(make_shard):
    return [
        str(make_shard(f"{s}.tar", {f"{s}-{i}": f"{s}-{i}".encode() for i in range(5 + s)}))
        for s in range(3)
    ]


def test_every_epoch_reads_every_sample_once_in_another_order(shards):
    source = IndexedSource("a", shards, seed=1, number=0)
    size = len(source)
    epochs = [[source.read(e * size + i, 0).key for i in range(size)] for e in range(3)]
    assert len(source) == 18
    for epoch in epochs:
        assert len(set(epoch)) == 18
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_bytes_are_the_samples_own(shards):
    source = IndexedSource("a", shards, seed=1, number=0)
    for position in range(18):
        sample = source.read(position, 0)
        assert sample.video == sample.key.encode()


def test_a_sample_without_json_is_an_error_with_its_key(make_shard):
    path = make_shard("a.tar", {"1": b"v"}, without_json=["1"])
    with pytest.raises(SampleError) as error:
        IndexedSource("a", [str(path)], seed=1, number=0).read(0, 0)
    assert error.value.skip == ("missing_json", str(path), "1")


def test_a_shard_that_vanishes_or_shrinks_is_an_error_not_a_crash(make_shard):
    path = make_shard("a.tar", {"1": b"v" * 2000})
    source = IndexedSource("a", [str(path)], seed=1, number=0)
    source.read(0, 0)
    os.truncate(path, 600)
    with pytest.raises(SampleError, match="truncated_shard"):
        source.read(0, 0)
    path.unlink()
    with pytest.raises(SampleError, match="unreadable_shard"):
        source.read(0, 0)


def test_a_shard_that_vanishes_before_its_first_use_is_an_error(make_shard):
    path = make_shard("a.tar", {"1": b"v"})
    source = IndexedSource("a", [str(path)], seed=1, number=0)
    path.unlink()
    with pytest.raises(SampleError, match="unreadable_shard"):
        source.read(0, 0)


def test_empty_shards_are_remembered_and_a_set_of_them_refused(make_shard):
    empty, full = make_shard("a.tar", {}), make_shard("b.tar", {"1": b"v"})
    source = IndexedSource("a", [str(empty), str(full)], seed=1, number=0)
    assert source.empty_shards == (str(empty),)
    assert source.read(0, 0).key == "1"
    with pytest.raises(ValueError, match="hold no samples"):
        IndexedSource("a", [str(empty)], seed=1, number=0)
