"""Videos without an answer: each is a named skip, and the share of them ends the run."""

import numpy as np
import pytest

from worldmodel_train.data.clip_reader import ClipReader
from worldmodel_train.data.config import AugmentConfig, DataConfig
from worldmodel_train.data.decoding.decode import Decoded, DecodeError
from worldmodel_train.data.health import BadDataError
from worldmodel_train.data.shards.source import EncodedSample
from worldmodel_train.data.source_config import ClipConfig, SourceConfig


class Numbered:
    """Sample k of attempt k."""

    def number_at(self, position, attempt):
        return None

    def read(self, position, attempt):
        del position
        return EncodedSample(key=f"clip{attempt}", shard="/data/007.tar", files={"video": b"video"})


class Hanging:
    """A decoder that gives the first so many videos no answer."""

    def __init__(self, count, reason="decode_timeout"):
        self.left, self.reason = count, reason

    def decode(self, video, request):
        raise AssertionError

    def decode_into(self, video, requests, clips):
        del video, clips
        if self.left:
            self.left -= 1
            raise DecodeError(self.reason, "no clip")
        return Decoded(decoder="pyav", times=(np.zeros(2),) * len(requests))


def reader(decoder):
    source = SourceConfig(shards="none.tar", clip=ClipConfig(frames=2))
    data = DataConfig(sources=(source,), augment=AugmentConfig(size=8))
    return ClipReader(data, [Numbered()], decoder, seed=0)


def test_hanging_videos_in_a_row_are_skipped_and_each_is_named_in_the_log(caplog):
    (clip,) = reader(Hanging(5)).read(0, [])
    assert clip.key == "clip5"
    assert [(s.key, s.reason) for s in clip.skipped] == [
        (f"clip{i}", "decode_timeout") for i in range(5)
    ]
    for i in range(5):
        assert f"skipped 'clip{i}' in /data/007.tar: decode_timeout (no clip)" in caplog.text


def test_other_skips_are_counted_and_do_not_fill_the_log(caplog):
    (clip,) = reader(Hanging(5, "corrupt_video")).read(0, [])
    assert len(clip.skipped) == 5
    assert not caplog.text


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("decode_timeout", r"Decoding times out.*data\.decoder\.timeout_s"),
        ("decoder_crashed", r"Decoding crashes.*data\.decoder\.name"),
        ("out_of_memory", r"data\.decoder\.memory_mb"),
        ("corrupt_video", "wmt data check"),
    ],
)
def test_a_run_that_gets_nothing_ends_with_the_cause_and_the_remedy(reason, remedy):
    with pytest.raises(BadDataError, match=f"16 samples .*'clip15'.*{reason}.*{remedy}"):
        reader(Hanging(100, reason)).read(0, [])
