import random

import pytest

from worldmodel_train.data.shards import stream_shuffle
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.shards.stream_shuffle import shuffled
from worldmodel_train.types import Skip


def stream(sizes):
    for turn, size in enumerate(sizes):
        yield turn, EncodedSample(key=str(turn), shard="a", video=bytes(size))


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_every_item_leaves_once(size):
    found = [turn for turn, _ in shuffled(stream([1] * 500), size, random.Random(0))]
    assert sorted(found) == list(range(500))
    assert (found == sorted(found)) == (size == 1)


def test_large_videos_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(stream_shuffle, "BUFFER_BYTES", 100)
    came, left = [], []

    def counted():
        for turn, item in stream([1] * 150 + [60] * 20 + [0] * 150):
            came.append(len(item.video))
            yield turn, item

    for _, item in shuffled(counted(), 1000, random.Random(0)):
        left.append(len(item.video))
        # the one that has just come in is there too
        assert sum(came) - sum(left) <= 100 + 60
    assert sorted(left) == sorted(came)


def test_bad_samples_take_no_room(monkeypatch):
    monkeypatch.setattr(stream_shuffle, "BUFFER_BYTES", 0)
    bad = [(turn, Skip("missing_json", "a", str(turn))) for turn in range(50)]
    found = list(shuffled(iter(bad), 10, random.Random(0)))
    assert found != bad
    assert sorted(found) == sorted(bad)
