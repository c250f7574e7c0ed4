import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.sample import SampleInfo, content_id, sample_key


def entry(source, **times):
    return Entry(source=source, path=Path("unused"), **times)


@given(st.text(min_size=1))
def test_a_key_is_safe_in_a_tar_whatever_the_path(source):
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,90}", sample_key(entry(source)))


def test_keys_differ_by_folder_suffix_and_time_span_and_keep_the_stem():
    keys = {
        sample_key(entry("a/clip.mp4")),
        sample_key(entry("b/clip.mp4")),
        sample_key(entry("a/clip.mkv")),
        sample_key(entry("a/clip.mp4", start=0.0)),
        sample_key(entry("a/clip.mp4", start=1.0, end=2.0)),
    }
    assert len(keys) == 5
    assert all(key.startswith("clip-") for key in keys)


def test_a_sample_json_survives_a_round_trip_with_any_label():
    info = SampleInfo(
        fps=29.97, frames=3, width=4, height=5, duration=0.1, codec="h264", sha256="0" * 64,
        label='猫 "$\n', source="a.mp4",
    )  # fmt: skip
    assert SampleInfo.model_validate_json(info.to_json()) == info
    assert set(json.loads(info.to_json())) >= {"fps", "frames", "duration", "label", "caption"}


def test_what_has_a_name_is_a_sample_of_its_own_beside_the_same_video():
    info = SampleInfo.model_construct(sha256="0" * 64)
    one, other, nameless = (entry("a.mp4", name=name) for name in ("x_1", "x_2", None))
    assert sample_key(one).startswith("x_1-")
    assert len({sample_key(e) for e in (one, other, nameless)}) == 3
    assert len({content_id(e, info.sha256) for e in (one, other, nameless)}) == 3
    assert content_id(nameless, info.sha256) == info.sha256


def test_the_json_of_a_sample_with_one_label_has_no_list_of_them():
    info = SampleInfo.model_construct(label="a", source="a.mp4")
    assert "labels" not in json.loads(info.to_json())
    several = info.model_copy(update={"labels": ("a", "b")})
    assert json.loads(several.to_json())["labels"] == ["a", "b"]
