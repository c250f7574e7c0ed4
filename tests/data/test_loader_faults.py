"""What is bad is replaced, or told before any process starts."""

import os

import pytest

from tests.data.loaded import (
    NUMBERS,
    assert_same,
    batches,
    merged,
    position,
    prepare,
)
from worldmodel_train.data.config import DecoderConfig
from worldmodel_train.data.health import BadDataError
from worldmodel_train.data.source_config import ClipConfig, SourceConfig


def test_bad_samples_are_replaced_and_named(make_data, make_shard, make_video):
    good = {f"good{i}": make_video(4) for i in range(3)}
    bad = {"html": b"<html>404</html>", "empty": b""}
    path = make_shard("mixed.tar", {**good, **bad, "lone": b"v"}, without_json=["lone"])
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=10.0))
    parts = batches(make_data(sources=(source,)), 6)
    assert [part.content.num_samples for part in parts] == [4] * 6
    skips = {(skip.reason, skip.key) for part in parts for skip in part.origin.skipped}
    assert skips == {("corrupt_video", "html"), ("empty_file", "empty"), ("missing_json", "lone")}
    again = batches(make_data(1, sources=(source,)), 6)
    assert [p.origin.skipped for p in again] == [p.origin.skipped for p in parts]
    assert_same(merged(parts), merged(again))


def test_a_truncated_shard_costs_only_the_samples_it_lost(make_data, make_shard, make_video):
    path = make_shard("cut.tar", {f"v{i}": make_video(4) for i in range(4)})
    os.truncate(path, path.stat().st_size * 3 // 5)
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=10.0))
    parts = batches(make_data(sources=(source,)), 4)
    assert [part.content.num_samples for part in parts] == [4] * 4
    assert {skip.reason for part in parts for skip in part.origin.skipped} == {"truncated_shard"}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_that_is_all_bad_stops_the_run_naming_shard_and_key(
    make_data, make_shard, workers
):
    path = make_shard("bad.tar", {"broken": b"no video"})
    source = SourceConfig(name="k710", shards=str(path), clip=ClipConfig(frames=2))
    with pytest.raises(BadDataError, match=r"k710.*'broken' in .*bad\.tar"):
        batches(make_data(workers, sources=(source,), max_attempts=3), 1)


@pytest.mark.slow
def test_an_empty_shard_is_reported_once(make_data, make_shard, make_video):
    full = make_shard("full.tar", {"1": make_video(4)})
    empty = make_shard("empty.tar", {})
    source = SourceConfig(shards=(str(full), str(empty)), clip=ClipConfig(frames=2, fps=10.0))
    first, second = batches(make_data(sources=(source,)), 2)
    assert [skip.reason for skip in first.origin.skipped] == ["empty_shard"]
    assert not second.origin.skipped


def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do():
    with pytest.raises(ValueError, match="use 6 or 12"):
        position(world_size=2, micro_batch=3)


def test_missing_shards_are_found_before_any_process_starts(make_data):
    source = SourceConfig(name="k710", shards="/no/such/*.tar", clip=ClipConfig(frames=2))
    with pytest.raises(ValueError, match="k710"):
        make_data(sources=(source,)).build_loader(prepare([]), position())


def test_decord_must_be_installed_where_it_is_asked_for(make_data, monkeypatch):
    monkeypatch.setattr("worldmodel_train.data.loader.decord_is_installed", lambda: False)
    data = make_data().model_copy(update={"decoder": DecoderConfig(name="decord")})
    with pytest.raises(ValueError, match="use auto or pyav"):
        data.build_loader(prepare([]), position())


def test_an_impossible_weight_is_refused_before_any_process_starts(make_data, sources):
    short, long = sources
    data = make_data(sources=(short, long.model_copy(update={"weight": 1e-5})))
    with pytest.raises(ValueError, match=r"data\.sources\[1\]"):
        data.build_loader(prepare(NUMBERS), position())
