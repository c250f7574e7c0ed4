from dataclasses import replace

import numpy as np
import pytest
import torch

from worldmodel_train.batch import Skip
from worldmodel_train.data.config import AugmentConfig, DataConfig, DecoderConfig, LoaderConfig
from worldmodel_train.data.decoding.decode import DecodeError
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.fixed import Views, load_clips
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
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


@pytest.mark.usefixtures("decoding_here")
def test_clips_need_not_be_square(source):
    assert load(source, size=FrameSize(16, 40), limit=2).clips.shape == (2, 4, 16, 40, 3)


@pytest.mark.usefixtures("decoding_here")
def test_bad_samples_are_left_out_and_named(source):
    assert [(s.key, s.reason) for s in load(source).skipped] == [
        ("broken", "corrupt_video"),
        ("bare", "missing_json"),
    ]


@pytest.mark.usefixtures("decoding_here")
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


@pytest.mark.usefixtures("decoding_here")
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


def data_of(source, **changes):
    return DataConfig(sources=(source,), augment=AugmentConfig(size=16), **changes)


@pytest.mark.usefixtures("decoding_here")
def test_videos_come_one_by_one_with_the_bad_ones_in_their_places(source):
    classes = ("label of v2", "label of v0", "label of v1")
    videos = list(data_of(source, classes=classes).each_video(source, segments=2, crops=3))
    assert [video.key for video in videos] == ["broken", "v0", "v1", "v2", "bare"]
    assert [type(video) for video in videos] == [Skip, Views, Views, Views, Skip]
    good = videos[1:4]
    assert [(video.label, video.class_number) for video in good] == [
        ("label of v0", 1),
        ("label of v1", 2),
        ("label of v2", 0),
    ]
    for video in good:
        assert video.clips.shape == (6, 4, 16, 16, 3)
        early, late = video.times.reshape(2, 3, 4)
        assert (early == early[0]).all()
        assert (late > early).all()


@pytest.mark.usefixtures("decoding_here")
def test_three_crops_are_the_two_ends_and_the_middle_of_the_longer_side(make_shard, make_video):
    wide = np.ones((32, 96, 3)) * np.linspace(20, 220, 96)[:, None]
    high = wide.transpose(1, 0, 2)
    pictures = {"wide": wide, "high": high}
    path = make_shard(
        "a.tar",
        {key: make_video(4, picture=shown.astype(np.uint8)) for key, shown in pictures.items()},
    )
    source = SourceConfig(shards=str(path), clip=ClipConfig(frames=2, fps=5.0))
    videos = list(data_of(source).each_video(source, crops=3))
    assert [video.key for video in videos] == ["wide", "high"]
    for video in videos:
        means = video.clips.float().mean((1, 2, 3, 4))
        # the middle of the picture's first, second and last third
        torch.testing.assert_close(means, torch.tensor([52.6, 120.0, 187.4]), atol=3, rtol=0)


@pytest.mark.usefixtures("decoding_here")
def test_shares_are_every_video_once(source):
    keys = [
        [video.key for video in data_of(source).each_video(source, first=first, every=3)]
        for first in range(3)
    ]
    assert keys == [["broken", "v2"], ["v0", "bare"], ["v1"]]


@pytest.mark.usefixtures("decoding_here")
@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_videos_are_in_memory_than_are_decoded_at_once(source, monkeypatch, workers):
    read = []
    original = ShardSet.sample
    monkeypatch.setattr(
        ShardSet, "sample", lambda *arguments: read.append(1) or original(*arguments)
    )
    videos = data_of(source, loader=LoaderConfig(workers=workers)).each_video(source)
    for number in range(1, 4):
        next(videos)
        assert len(read) == number + workers
    videos.close()
