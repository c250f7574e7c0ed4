import pytest

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.probing.spread_videos import spread_videos
from worldmodel_train.recipe import load_recipe


@pytest.fixture
def data():
    return load_recipe("demo").data


@pytest.fixture
def taken(monkeypatch):
    """Samples asked for, none of which is read."""
    every = []
    monkeypatch.setattr(
        DataConfig, "each_video", lambda *_, **asked: every.append(asked["every"]) or [None]
    )
    return every


@pytest.mark.parametrize(("limit", "every"), [(9, 1), (40, 1), (5, 2), (4, 3), (2, 5), (1, 11)])
def test_few_videos_are_taken_from_the_first_shard_to_the_last_by_a_prime(
    data, taken, limit, every
):
    list(spread_videos(data, data.held_out, limit=limit))  # of nine
    assert taken == [every]


def test_a_source_of_nothing_but_bad_videos_is_refused(data, monkeypatch):
    monkeypatch.setattr(DataConfig, "each_video", lambda *_, **__: [Skip("corrupt", "a.tar", "x")])
    with pytest.raises(ValueError, match="source 'held_out' gave no video that can be used"):
        list(spread_videos(data, data.held_out, limit=4))


def test_streams_are_refused(data):
    stream = data.held_out.model_copy(update={"shards": "https://a.org/a.tar"})
    with pytest.raises(ValueError, match="source 'held_out' is a stream"):
        list(spread_videos(data, stream, limit=4))
