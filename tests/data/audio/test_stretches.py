"""Stretches of recordings: the same on every run, resumed exactly, bad ones counted."""

import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.data.audio.config import AudioConfig
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.source_config import ShardsConfig


@pytest.fixture
def config(shard):
    return AudioConfig(
        name="data/audio",
        sources=(ShardsConfig(name="tones", shards=str(shard)),),
        held_out=ShardsConfig(name="held_out", shards=str(shard)),
        rate=8000,
        seconds=0.2,
        classes=("0", "1", "2"),
        loader={"workers": 0, "max_bad_share": 0.5},
    )


def batches(config, count, *, first_step=0, workers=0):
    loader = config.loader.model_copy(update={"workers": workers, "prefetch": 2})
    config = config.model_copy(update={"loader": loader})
    position = LoaderPosition(
        seed=3, global_batch=4, micro_batch=4, first_step=first_step, rank=0, world_size=1
    )
    found = iter(config.build_loader(None, position))
    return [next(found) for _ in range(count)]


def test_a_stretch_holds_its_own_recording_and_zeros_behind_it(config):
    for batch in batches(config, 6):
        audio = batch.content
        assert audio.waveform.shape == (4, 1600)
        for wave, heard, label in zip(audio.waveform, audio.heard, audio.labels, strict=True):
            level = round(float(wave[0]) * 16)
            assert heard == min(1600, 800 + 160 * (level - 1))
            assert label == (level - 1) % 3
            torch.testing.assert_close(  # FLAC of 16 bits
                wave[:heard], torch.full((int(heard),), level / 16), atol=1e-4, rtol=0
            )
            assert not wave[heard:].any()


def test_what_is_broken_is_skipped_and_counted(config):
    skipped = [skip for batch in batches(config, 6) for skip in batch.origin.skipped]
    assert {(skip.reason, skip.key) for skip in skipped} == {("corrupt_audio", "5")}


def test_a_resumed_run_hears_what_it_would_have_heard(config):
    whole, resumed = batches(config, 5), batches(config, 2, first_step=3)
    for expected, found in zip(whole[3:], resumed, strict=True):
        assert torch.equal(expected.content.waveform, found.content.waveform)
        assert expected.content.samples == found.content.samples


@pytest.mark.slow
def test_workers_change_nothing(config):
    for expected, found in zip(batches(config, 4), batches(config, 4, workers=2), strict=True):
        assert torch.equal(expected.content.waveform, found.content.waveform)
        assert torch.equal(expected.content.heard, found.content.heard)
        assert torch.equal(expected.content.labels, found.content.labels)


def test_held_out_middles_are_the_same_on_every_call_without_the_broken_one(config):
    first, second = config.held_out_content(20), config.held_out_content(20)
    assert torch.equal(first.waveform, second.waveform)
    assert first.num_samples == 11
    assert config.held_out_content(4).num_samples <= 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"decoder": {"name": "decord"}}, "decord reads videos alone"),
        ({"labels": "many", "classes": None}, "needs classes"),
        ({"loader": {"clips_per_video": 2}}, "is for videos"),
        ({"seconds": 5.0, "max_seconds": 2.0}, "is more than max_seconds"),
        ({"classes": ("a", "a")}, "named 'a'"),
    ],
)
def test_what_does_not_go_together_is_refused(config, changed, words):
    with pytest.raises(ValidationError, match=words):
        AudioConfig(**(config.model_dump() | changed))
