import json

import cv2
import numpy as np
import pytest

from worldmodel_train.data.packing.check import read_index
from worldmodel_train.data.packing.contact_sheet import chosen_rows, moments, write_contact_sheet
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.sample import SampleInfo


def test_rows_are_spread_over_the_set_with_six_moments_in_order(packed):
    rows = chosen_rows(packed, read_index(packed), 3)
    assert [row.info.label for row in rows] == ["run", "run", "walk"]
    for row in rows:
        means = [picture.mean() for picture in row.pictures]
        assert len(means) == 6
        assert means == sorted(means)


def test_the_sheet_is_a_picture_that_is_not_empty(packed, tmp_path):
    write_contact_sheet(packed, tmp_path / "sheet.png", 4)
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture.shape[0] > 4 * 120
    assert picture.std() > 10


def test_a_video_of_one_frame_has_one_picture(tmp_path, make_video):
    video = make_video(tmp_path / "a.mp4", frames=1).read_bytes()
    info = SampleInfo(
        fps=10, frames=1, width=64, height=48, duration=0.1, codec="h264", sha256="0" * 64,
        source="a",
    )  # fmt: skip
    (picture,) = moments(video, info)
    assert picture.dtype == np.uint8


def test_a_set_without_samples_has_no_sheet(tmp_path):
    (tmp_path / "index.json").write_text(
        json.dumps({"version": 1, "shards": [], "samples": 0, "seconds": 0, "arguments": {}})
    )
    with pytest.raises(PackError, match="no samples"):
        write_contact_sheet(tmp_path, tmp_path / "sheet.png", 4)
