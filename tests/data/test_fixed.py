from dataclasses import replace

import pytest
import torch

from worldmodel_train.data.config import ClipConfig, DecoderConfig, SourceConfig
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.fixed import load_clips
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.facts import FrameSize


@pytest.fixture
def source(make_shard, make_video):
    videos = {
        f"v{i}": make_video(20, levels=[20 + 40 * i + j for j in range(20)]) for i in range(3)
    }
    path = make_shard(
        "a.tar", {"broken": b"no video", **videos, "bare": b"v"}, without_json=["bare"]
    )
    return SourceConfig(shards=str(path), clip=ClipConfig(frames=4, fps=10.0))


def load(source, **changes):
    given = {"size": FrameSize(16, 16), "limit": 10, "decoder": DecoderConfig(), **changes}
    return load_clips(source, **given)


def test_clips_come_in_shard_order_with_their_labels(source):
    fixed = load(source)
    assert fixed.keys == ("v0", "v1", "v2")
    assert fixed.labels == ("label of v0", "label of v1", "label of v2")
    assert fixed.clips.shape == (3, 4, 16, 16, 3)
    means = fixed.clips.float().mean((1, 2, 3, 4))
    assert (means.diff() > 30).all()


def test_clips_need_not_be_square(source):
    assert load(source, size=FrameSize(16, 40), limit=2).clips.shape == (2, 4, 16, 40, 3)


def test_bad_samples_are_left_out_and_named(source):
    assert [(s.key, s.reason) for s in load(source).skipped] == [
        ("broken", "corrupt_video"),
        ("bare", "missing_json"),
    ]


@pytest.mark.parametrize("text", [b"[" * 100_000, b"9" * 5000, b"[]", b"\xff", b'{"label": NaN}'])
def test_a_video_with_hostile_json_is_left_out_and_named(source, monkeypatch, text):
    original = ShardSet.sample

    def sample(shards, number, wanted):
        found = original(shards, number, wanted)
        return replace(found, files={**found.files, "json": text}) if number == 2 else found

    monkeypatch.setattr(ShardSet, "sample", sample)
    fixed = load(source)
    assert fixed.keys == ("v0", "v2")
    assert ("v1", "bad_json") in [(s.key, s.reason) for s in fixed.skipped]


@pytest.mark.slow
def test_the_clips_are_the_same_every_time(source):
    assert torch.equal(load(source).clips, load(source).clips)


def test_several_clips_of_a_video_start_at_different_times(source):
    fixed = load(source, clips_per_video=2, limit=3)
    assert fixed.keys == ("v0", "v0", "v1")
    assert fixed.clips[1].float().mean() > fixed.clips[0].float().mean() + 4


def test_a_source_without_any_good_video_is_an_error(make_shard):
    path = make_shard("a.tar", {"broken": b"no video"})
    with pytest.raises(ValueError, match=r"no video that can be used \(corrupt_video"):
        load(SourceConfig(shards=str(path), clip=ClipConfig(frames=4)))


def test_a_decoder_that_never_answers_is_not_waited_for_with_every_video(make_shard, monkeypatch):
    path = make_shard("a.tar", {f"v{i:02}": b"video" for i in range(20)})

    def silent(*_):
        raise DecodeError("decode_timeout")

    monkeypatch.setattr(DecodeProcess, "decode_into", silent)
    with pytest.raises(ValueError, match=r"16 videos .*'v15'.*data\.decoder\.timeout_s"):
        load(SourceConfig(shards=str(path), clip=ClipConfig(frames=4)))


def test_a_stream_is_refused():
    with pytest.raises(ValueError, match="is a stream"):
        load(SourceConfig(shards="pipe:cat a.tar", clip=ClipConfig(frames=4)))
