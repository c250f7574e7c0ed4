import pickle
from dataclasses import replace

import numpy as np
import pytest

from worldmodel_train.batch import Skip
from worldmodel_train.cli import _exit_code
from worldmodel_train.cli.exit_codes import FAILED, USER_ERROR
from worldmodel_train.data.clip_reader import ClipReader
from worldmodel_train.data.config import AugmentConfig, DataConfig, LoaderConfig
from worldmodel_train.data.decoding.crop import MovingCrop
from worldmodel_train.data.decoding.decode import Decoded, DecodeError
from worldmodel_train.data.decoding.frame_steps import FrameSteps
from worldmodel_train.data.health import (
    BadDataError,
    DataAwayError,
    SkipLedger,
    Tally,
    TooMuchBadDataError,
)
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.source_config import ClipConfig, SourceConfig


class Items:
    """A source that gives these: keys of good samples, and reasons of bad ones with a blank."""

    def __init__(self, items):
        self._items = iter(items)

    def number_at(self, position, attempt):
        return None

    def read(self, position, attempt):
        item = next(self._items)
        if " " in item:
            raise SampleError(Skip(item.split()[0], "/data/7.tar", "\x1b[31mkey\n"))
        return EncodedSample(key=item, shard="/data/7.tar", files={"video": item.encode()})


class NoDecoder:
    def decode(self, video, request):
        raise AssertionError

    def decode_into(self, video, requests, clips):
        if video == b"broken":
            raise DecodeError("corrupt_video", "")
        return Decoded(decoder="none", times=(np.zeros(1),) * len(requests))


def reader_of(items, *, shards="pipe:cat", **loader):
    source = SourceConfig(name="web", shards=shards, clip=ClipConfig(frames=1))
    data = DataConfig(
        sources=(source,),
        augment=AugmentConfig(size=8),
        loader=LoaderConfig(**{"max_attempts": 4, "max_bad_share": 0.3, **loader}),
    )
    return ClipReader(data, [Items(items)], NoDecoder(), seed=0)


def test_training_clips_of_the_published_protocol_are_counted_off_and_not_averaged():
    reader = reader_of([])
    ours = SourceConfig(shards="a.tar", clip=ClipConfig(frames=4))
    clip = ClipConfig(frames=4, frame_step=3)
    theirs = ours.model_copy(update={"clip": clip, "protocol": "vjepa2"})
    own, published = (reader.request(source, 5, 0) for source in (ours, theirs))
    assert (own.steps, own.crop.resampling) == (None, "antialiased")
    assert (published.steps, published.crop.resampling) == (FrameSteps(step=3), "bilinear")
    assert replace(published.crop, resampling="antialiased") == own.crop
    assert published.start == own.start


def test_both_ends_of_a_moving_crop_of_the_published_protocol_are_not_averaged():
    source = SourceConfig(shards="a.tar", clip=ClipConfig(frames=4), protocol="vjepa2")
    still, moving = (
        ClipReader(data, [Items([])], NoDecoder(), seed=0).request(source, 5, 0)
        for data in (
            DataConfig(sources=(source,), augment=AugmentConfig(size=8, motion_shift=shift))
            for shift in (False, True)
        )
    )
    assert isinstance(moving.crop, MovingCrop)
    assert moving.crop.first == still.crop
    assert moving.crop.last != moving.crop.first
    assert moving.crop.first.resampling == moving.crop.last.resampling == "bilinear"


class SameClip:
    """A decoder for which all videos look alike; the broken one is half decoded."""

    def decode(self, video, request):
        raise AssertionError

    def decode_into(self, video, requests, clips):
        for clip in clips:
            clip[:] = np.arange(clip.size, dtype=np.uint8).reshape(clip.shape) // 2
        if video == b"broken":
            raise DecodeError("corrupt_video", "")
        return Decoded(decoder="none", times=(np.zeros(2),) * len(requests))


def augmented(sample, *, items=("good",), seed=0, **augment):
    """Two clips of one video, from `sample` on."""
    source = SourceConfig(shards="pipe:cat", clip=ClipConfig(frames=2))
    data = DataConfig(
        sources=(source,),
        augment=AugmentConfig.model_validate({"size": 32} | augment),
        loader=LoaderConfig(clips_per_video=2),
    )
    frames = np.zeros((2, 2, 32, 32, 3), dtype=np.uint8)
    ClipReader(data, [Items(items)], SameClip(), seed=seed).read(sample, list(frames))
    return frames


def test_pictures_are_changed_as_seed_sample_and_attempt_say():
    both = {"rand_augment": {}, "erasing": {"probability": 1.0}}
    plain = augmented(4)
    assert np.array_equal(plain[0], plain[1])
    once = augmented(4, **both)
    assert np.array_equal(once, augmented(4, **both))
    others = [augmented(6, **both), augmented(4, seed=1, **both)]
    others.append(augmented(4, items=["broken", "good"], **both))
    clips = [clip.tobytes() for found in (plain[:1], once, *others) for clip in found]
    assert len(set(clips)) == 9


def test_what_is_erased_last_is_not_changed_again():
    nearly_all = {"probability": 1.0, "area": [0.9, 0.9], "aspect": [1.0, 1.0]}
    for sample in range(0, 12, 2):  # noise as it was drawn, whatever came before
        noise = augmented(sample, rand_augment={"magnitude": 10}, erasing=nearly_all)
        assert abs(noise.std() / 255 - 0.228) < 0.03
        assert abs(noise.mean() / 255 - 0.449) < 0.05


def test_a_stream_may_have_many_bad_samples_in_a_row():
    items = ["good"] * 200 + ["missing_json x", "broken"] * 40 + ["good"]
    reader = reader_of(items)
    clips = [reader.read(sample, [])[0] for sample in range(201)]
    assert len(clips[-1].skipped) == 80


def test_past_the_stated_share_a_stream_of_bad_samples_ends_the_run():
    reader = reader_of(["good"] * 200 + ["missing_json x"] * 100)
    for sample in range(200):
        reader.read(sample, [])
    with pytest.raises(BadDataError, match=r"86 samples of source 'web'.*missing_json") as error:
        reader.read(200, [])
    assert _exit_code(error.value) == USER_ERROR


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_stream_without_any_good_sample_ends_the_run(share):
    with pytest.raises(BadDataError, match=r"100 samples of source 'web'"):
        reader_of(["missing_json x"] * 200, max_bad_share=share).read(0, [])


@pytest.mark.parametrize("shards", ["pipe:cat", "/data/*.tar"])
@pytest.mark.parametrize("reason", ["unreachable_shard", "stalled_shard", "unreadable_shard"])
def test_where_everything_is_away_the_run_can_be_started_again(shards, reason):
    reader = reader_of([f"{reason} x"] * 4, shards=shards)
    with pytest.raises(DataAwayError, match=reason) as error:
        reader.read(0, [])
    assert _exit_code(error.value) == FAILED
    # as it comes from a loading process
    assert _exit_code(pickle.loads(pickle.dumps(error.value))) == FAILED


def test_who_has_videos_alone_is_told_what_a_sample_is():
    with pytest.raises(BadDataError, match=r"a video and a \.json of the same name.*wmt data pack"):
        reader_of(["missing_json x"] * 9, shards="/data/*.tar").read(0, [])


def test_names_of_strangers_are_shown_in_one_line():
    with pytest.raises(BadDataError) as error:
        reader_of(["missing_json x"] * 9, shards="/data/*.tar").read(0, [])
    assert r"'\x1b[31mkey\n' in /data/7.tar" in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("skipped", "code"),
    [
        ({"unreachable_shard": 50, "missing_json": 4}, FAILED),
        ({"unreachable_shard": 4, "missing_json": 50}, USER_ERROR),
    ],
)
def test_too_much_that_is_away_is_no_error_of_the_user(skipped, code):
    ledger = SkipLedger(max_bad_share=0.1)
    with pytest.raises(TooMuchBadDataError) as error:
        ledger.settle([Tally(good=100, skipped=skipped, last=Skip("missing_json", "a", "b"))])
    assert _exit_code(error.value) == code
