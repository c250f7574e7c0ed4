"""Folders and lists of recordings become shards; checking finds what is wrong with them."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from worldmodel_train.data.audio.check import check_recordings, holds_recordings
from worldmodel_train.data.audio.pack import pack_recordings
from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
from worldmodel_train.data.packing.check import read_index
from worldmodel_train.data.packing.entries import read_entries
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.journal import PackArguments
from worldmodel_train.data.packing.progress import PackProgress
from worldmodel_train.data.packing.read import open_shard, read_samples

DIGITS = Path(str(files("worldmodel_train") / "assets" / "spoken_digits"))


@pytest.fixture
def folder(tmp_path, make_recording, make_tone):
    """Two labelled recordings, one that is torn, and a video's name."""
    root = tmp_path / "recordings"
    for label, hertz in (("low", 200), ("high", 900)):
        (root / label).mkdir(parents=True)
        (root / label / "a.wav").write_bytes(make_recording(make_tone(hertz, 4000)))
    (root / "low" / "torn.flac").write_bytes(b"fLaC" + bytes(40))
    (root / "low" / "film.mp4").write_bytes(b"none")
    return root


def pack(source, out):
    return pack_recordings(
        read_entries(str(source), None, [], suffixes=AUDIO_SUFFIXES),
        out,
        PackArguments(samples="recordings"),
        workers=1,
        timeout_s=30.0,
        progress=PackProgress(Console(quiet=True)),
    )


def test_a_folder_is_packed_with_its_labels_and_what_is_torn_is_rejected(tmp_path, folder):
    out = tmp_path / "set"
    report = pack(folder, out)
    assert report.rejects == {"corrupt_audio": 1}
    assert holds_recordings(out)
    found = check_recordings(out, workers=1, timeout_s=30.0)
    assert found.problems == []
    assert found.labels == {"low": 1, "high": 1}
    assert found.rates == {"8000 Hz": 2}
    assert found.seconds == pytest.approx(1.0)


def test_a_list_names_recordings_and_labels_but_no_parts_of_them(tmp_path, folder):
    listed = folder / "list.csv"
    listed.write_text("path,label\nlow/a.wav,deep\n")
    pack(listed, tmp_path / "set")
    assert check_recordings(tmp_path / "set", workers=1, timeout_s=30.0).labels == {"deep": 1}
    listed.write_text("path,start,end\nlow/a.wav,0,1\n")
    with pytest.raises(PackError, match="packed whole"):
        pack(listed, tmp_path / "other")


def test_a_damaged_set_is_found_out(tmp_path, folder):
    out = tmp_path / "set"
    pack(folder, out)
    shard = out / read_index(out).shards[0].name
    content = bytearray(shard.read_bytes())
    content[700] ^= 1  # a sample of the first recording
    shard.write_bytes(content)
    problems = check_recordings(out, workers=1, timeout_s=30.0).problems
    assert any("sha256 differs" in problem for problem in problems)
    assert any("hash differs" in problem for problem in problems)


def test_sets_from_elsewhere_are_known_and_checked_too(tmp_path, make_shard, make_recording):
    good = make_recording(np.full(800, 0.5))
    make_shard(tmp_path / "set" / "a.tar", [("1.wav", good), ("2.wav", b"RIFF")])
    assert holds_recordings(tmp_path / "set")
    report = check_recordings(tmp_path / "set", workers=1, timeout_s=30.0)
    assert (report.samples, report.unlabelled) == (1, 1)
    assert ["corrupt_audio" in problem for problem in report.problems] == [True]


def test_sets_of_videos_are_none_of_sound(tmp_path, make_shard):
    make_shard(tmp_path / "set" / "a.tar", [("1.mp4", b"film"), ("1.json", b"{}")])
    assert not holds_recordings(tmp_path / "set")


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_shipped_digits_are_whole(split):
    report = check_recordings(DIGITS / split, workers=1, timeout_s=60.0)
    assert report.problems == []
    assert report.labels == {str(digit): report.samples // 10 for digit in range(10)}


def test_no_speaker_of_the_shipped_digits_is_in_both_parts():
    speakers = {
        split: {info["caption"] for info in digits(split)} for split in ("train", "held_out")
    }
    assert speakers["train"] == {"george", "jackson", "lucas", "nicolas"}
    assert speakers["held_out"] == {"theo", "yweweler"}
    for info in digits("train") + digits("held_out"):
        assert info["source"].startswith(f"{info['label']}_{info['caption']}_")


def test_the_shipped_digits_name_their_source_and_licence_and_are_small():
    assert "CC BY-SA 4.0" in (DIGITS / "SOURCES.md").read_text()
    assert "CC-BY-SA-4.0" in (DIGITS / "LICENSE").read_text()
    assert sum(path.stat().st_size for path in DIGITS.rglob("*")) < 7e6


def digits(split):
    with open_shard(DIGITS / split / "shard-000000.tar") as file:
        return [json.loads(sample.description) for sample in read_samples(file)]
