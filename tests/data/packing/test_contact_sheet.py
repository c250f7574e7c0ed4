import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from worldmodel_train.data.packing import contact_sheet
from worldmodel_train.data.packing.check import read_index
from worldmodel_train.data.packing.contact_sheet import chosen_rows, moments, write_contact_sheet
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read import RawSample
from worldmodel_train.data.packing.sample import SampleInfo


def test_rows_are_spread_over_the_set_with_six_moments_in_order(packed):
    rows = chosen_rows(packed, read_index(packed), 3)
    assert [row.label for row in rows] == ["run", "run", "walk"]
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


HOSTILE = {
    "tex": "$\\frac{",
    "codes": "\x1b[31m\x00\x07",
    "lines": "a\nb" * 50,
    "long": "x" * 900_000,
    "other script": "\u65e5\u672c\u8a9e \U0001f3a5",
    "markup": "[bold]<b>&</b>",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_drawn_as_they_are_and_without_a_warning(
    packed, tmp_path, text, monkeypatch
):
    (row,) = chosen_rows(packed, read_index(packed), 1)
    hostile = replace(row, key=text, label=text, facts=(text, text))
    monkeypatch.setattr(contact_sheet, "chosen_rows", lambda *_: [hostile])
    folder = tmp_path / "$x^[red]"
    folder.symlink_to(packed)
    write_contact_sheet(folder, tmp_path / "sheet.png", 1)
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[0] < 300


def test_captions_never_cover_a_picture(packed):
    (row,) = chosen_rows(packed, read_index(packed), 1)
    figure = contact_sheet._draw("title", [replace(row, key="W" * 500)])
    assert all(text.zorder < axes.zorder for text in figure.texts for axes in figure.axes)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"{}", b"\xff"])
def test_a_sample_of_broken_json_is_one_line_that_names_it(packed, monkeypatch, content):
    broken = RawSample(key="k7", suffix=".mp4", video=b"", description=content)
    monkeypatch.setattr(contact_sheet, "read_samples", lambda _: [broken])
    with pytest.raises(PackError, match=r"shard-000000\.tar: .*k7.*see `wmt data check") as error:
        chosen_rows(packed, read_index(packed), 1)
    assert "validation error" not in str(error.value)


@pytest.mark.parametrize("samples", [-5, 10**19])
def test_an_index_that_counts_nonsense_is_refused(packed, tmp_path, samples):
    index = json.loads((packed / "index.json").read_text()) | {"samples": samples}
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(PackError, match=r"index\.json: samples: expected .*, got"):
        write_contact_sheet(tmp_path, tmp_path / "sheet.png", 4)
