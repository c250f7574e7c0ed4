import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.sample import SampleInfo, sample_key


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
