"""Which of a sample's files are videos."""

import pytest

from worldmodel_train.data.shards.source import EncodedSample


def sample(**files):
    named = {name.replace("_", "."): file for name, file in files.items()}
    return EncodedSample(key="a", shard="a.tar", files=named)


@pytest.mark.parametrize("name", ["video", "left_video", "mp4", "left_mp4"])
def test_a_video_is_one_by_what_stands_for_it_and_by_its_extension(name):
    assert sample(npz=b"n", **{name: b"v"}).has_video


@pytest.mark.parametrize("name", ["novideo", "left_novideo", "video_txt", "mp4_txt"])
def test_a_file_whose_name_only_ends_like_a_video_is_none(name):
    assert not sample(npz=b"n", **{name: b"v"}).has_video


def test_what_a_camera_sees_stands_for_all_videos_and_other_files_stay():
    files = {"npz": b"n", "left_video": b"l", "wrist_video": b"w", "novideo": b"o"}
    seen = sample(**files).seen_by("Wrist")
    assert seen.files == {"npz": b"n", "novideo": b"o", "video": b"w"}
