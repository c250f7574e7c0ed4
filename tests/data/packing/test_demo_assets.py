from importlib.resources import files
from pathlib import Path

import pytest

from worldmodel_train.data.packing.check import check_shards, read_index
from worldmodel_train.data.packing.entries import read_entries
from worldmodel_train.data.packing.probe import probe_ends
from worldmodel_train.data.packing.read import open_shard, read_samples
from worldmodel_train.data.packing.sample import SampleInfo, sample_key

DEMO = Path(str(files("worldmodel_train") / "assets" / "demo"))


def entries(split):
    return read_entries(str(DEMO / f"{split}.csv"), None, [])


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_shipped_shards_are_whole(split):
    report = check_shards(DEMO / split, probe_ends, workers=1, timeout_s=60.0)
    assert report.problems == []


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_shipped_clips_are_those_of_the_list(split):
    shipped = {}
    for record in read_index(DEMO / split).shards:
        with open_shard(DEMO / split / record.name) as file:
            for sample in read_samples(file):
                shipped[sample.key] = SampleInfo.model_validate_json(sample.description)
    listed = {sample_key(entry): entry for entry in entries(split)}
    assert list(shipped) == list(listed)
    for key, info in shipped.items():
        entry = listed[key]
        assert (info.source, info.start, info.end) == (entry.source, entry.start, entry.end)
        assert info.fps >= 10
        assert min(info.width, info.height) == 144


def test_no_held_out_clip_is_within_three_seconds_of_a_trained_one():
    for held_out in entries("held_out"):
        for trained in entries("train"):
            if held_out.source != trained.source:
                continue
            assert held_out.is_segment
            assert trained.is_segment
            apart = max(held_out.start - trained.end, trained.start - held_out.end)
            assert apart >= 3.0


def test_every_source_is_named_with_its_licence_and_the_sum_is_small():
    text = (DEMO / "SOURCES.md").read_text()
    for entry in entries("train") + entries("held_out"):
        name = "asl/*.mkv" if entry.source.startswith("asl/") else entry.source
        assert f"`{name}`" in text
    assert sum(path.stat().st_size for path in DEMO.rglob("*")) < 12e6
