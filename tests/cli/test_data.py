import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from worldmodel_train.cli.data import app
from worldmodel_train.data.packing.check import CheckReport


def write_video(path: Path, frames=10, size=(64, 48), phase=0) -> Path:
    width, height = size
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            picture = np.full((height, width, 3), (phase + 2 * i) % 256, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(2):
        write_video(tmp_path / f"in/{i}.mp4", phase=9 * i)
    return tmp_path / "in"


def wmt(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def test_pack_check_and_show_work_one_after_the_other(tmp_path, folder):
    (folder / "bad.mp4").write_bytes(b"nonsense")
    out = tmp_path / "out"
    packed = wmt("pack", folder, out, "--workers", 1, "--short-side", 32, "--gop", 5)
    assert packed.exit_code == 0, packed.output
    assert "2 samples in 1 shard" in packed.stdout
    assert "rejected 1 (1 undecodable)" in packed.stdout
    index = json.loads((out / "index.json").read_text())
    assert index["samples"] == 2
    assert index["arguments"]["encode"] == {
        "codec": "h264", "short_side": 32, "gop": 5, "fps": None, "crf": 23,
        "tune": None,
    }  # fmt: skip
    checked = wmt("check", out, "--decode", "--workers", 1)
    assert checked.exit_code == 0, checked.output
    assert "42x32 (2)" in checked.stdout
    shown = wmt("show", out)
    assert shown.exit_code == 0, shown.output
    assert (out / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_preset_encodes_and_options_go_before_it(tmp_path, folder):
    out = tmp_path / "out"
    packed = wmt("pack", folder, out, "--workers", 1, "--preset", "fast", "--short-side", 32)
    assert packed.exit_code == 0, packed.output
    index = json.loads((out / "index.json").read_text())
    assert index["arguments"]["encode"] == {
        "codec": "h264", "short_side": 32, "gop": 8, "fps": 8.0, "crf": 23,
        "tune": "fastdecode",
    }  # fmt: skip


def test_an_unknown_preset_is_refused_with_those_there_are(tmp_path, folder):
    result = wmt("pack", folder, tmp_path / "out", "--preset", "quick")
    assert result.exit_code == 1
    assert "--preset quick: not a preset; use fast" in result.stderr


def test_paths_come_from_stdin(tmp_path, folder):
    result = wmt("pack", "-", tmp_path / "out", "--root", folder, "--workers", 1, stdin="0.mp4\n")
    assert result.exit_code == 0, result.output
    assert "1 sample in 1 shard" in result.stdout


@pytest.mark.slow
def test_index_makes_the_index_of_several_folders(tmp_path, folder):
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        wmt("pack", folder, out, "--workers", 1)
        (out / "samples.idx").unlink()
    result = wmt("index", *outs, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert [line.split(": ")[1] for line in result.stdout.splitlines()] == [
        "2 samples in 1 shards"
    ] * 2
    assert wmt("check", outs[0], "--workers", 1).exit_code == 0


@pytest.mark.slow
def test_parts_are_packed_and_merged(tmp_path, folder):
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        packed = wmt("pack", folder, out, "--workers", 1, "--part", part)
        assert packed.exit_code == 0, packed.output
    merged = wmt("merge", out)
    assert merged.exit_code == 0, merged.output
    assert merged.stdout.startswith(f"{out}: 2 samples in 2 shards")
    index = (out / "samples.idx").read_bytes()
    assert wmt("index", out, "--workers", 1).exit_code == 0
    assert (out / "samples.idx").read_bytes() == index
    assert wmt("check", out, "--workers", 1).exit_code == 0


def test_a_video_in_two_parts_is_counted_and_each_part_knows_all_classes(tmp_path, folder):
    for name, label in (("0.mp4", "walk"), ("1.mp4", "run")):
        (folder / label).mkdir()
        (folder / label / name).write_bytes((folder / "0.mp4").read_bytes())
    for name in ("0.mp4", "1.mp4"):
        (folder / name).unlink()
    for part in ("1/2", "2/2"):
        wmt("pack", folder, tmp_path / "out", "--workers", 1, "--part", part)
        assert (tmp_path / "out/classes.txt").read_text() == "run\nwalk\n"
    merged = wmt("merge", tmp_path / "out")
    assert "1 video packed by more than one part, so in the set twice" in merged.stdout


def test_a_part_of_nothing_but_bad_videos_is_no_failure_but_a_set_of_them_is(tmp_path, folder):
    for name in ("0.mp4", "1.mp4"):
        (folder / name).write_bytes(b"nonsense")
    for part in ("1/2", "2/2"):
        assert wmt("pack", folder, tmp_path / "out", "--part", part).exit_code == 0
    assert wmt("merge", tmp_path / "out").exit_code == 1


def test_check_ends_with_the_reason_when_a_shard_changed(tmp_path, folder):
    out = tmp_path / "out"
    wmt("pack", folder, out, "--workers", 1)
    shard = out / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    result = wmt("check", out, "--workers", 1)
    assert result.exit_code == 1
    assert "wrong: shard-000000.tar" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pack", "{tmp}/nowhere", "{tmp}/out"], "nowhere: no such folder or list"),
        (["pack", "{tmp}/in", "{tmp}/in/0.mp4"], "0.mp4: cannot be written"),
        (["pack", "{tmp}/in", "{tmp}/in/0.mp4/deep"], "cannot be written"),
        (["pack", "{tmp}/in", "{tmp}/out", "--shard-size", "big"], "--shard-size big: not a size"),
        (
            ["pack", "{tmp}/in", "{tmp}/out", "--codec", "vp8"],
            '--codec vp8: "vp8" is not a choice here; known: h264, hevc',
        ),
        (
            ["pack", "{tmp}/in", "{tmp}/out", "--short-side", "9999"],
            "--short-side 9999: expected less than or equal to 4320, got 9999",
        ),
        (["pack", "{tmp}/in", "{tmp}/out", "--part", "3/2"], "--part 3/2: write 1/16"),
        (["merge", "{tmp}/in"], "nothing to merge"),
        (["check", "{tmp}/in"], "is it a packed folder?"),
        (["show", "{tmp}/in"], "is it a packed folder?"),
        (["index", "{tmp}/in"], "holds no .tar"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(tmp_path, folder, arguments, words):
    result = wmt(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_nothing_packed_is_a_failure(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp4").touch()
    result = wmt("pack", tmp_path / "in", tmp_path / "out", "--workers", 1)
    assert result.exit_code == 1
    assert "0 samples" in result.stdout


def test_other_arguments_on_a_begun_folder_are_named(tmp_path, folder):
    wmt("pack", folder, tmp_path / "out", "--workers", 1)
    result = wmt("pack", folder, tmp_path / "out", "--workers", 1, "--gop", 4)
    assert result.exit_code == 1
    assert "was begun with other arguments" in result.stderr


def test_a_full_disk_says_what_to_do(tmp_path, folder, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worldmodel_train.data.packing.pack.pack", full)
    result = wmt("pack", folder, tmp_path / "out")
    assert result.exit_code == 1
    assert "the disk is full; finished shards are intact" in result.stderr


@pytest.mark.slow
def test_a_run_killed_with_9_goes_on_to_the_bytes_of_an_uninterrupted_one(tmp_path):
    write_video(tmp_path / "long.mp4", frames=620, size=(160, 96))
    table = io.StringIO("path,start,end\n")
    table.seek(0, io.SEEK_END)
    table.writelines(f"long.mp4,{i * 0.3:.1f},{i * 0.3 + 2:.1f}\n" for i in range(200))
    (tmp_path / "list.csv").write_text(table.getvalue())

    def start(out):
        main = "from worldmodel_train.cli.data import app; app()"
        arguments = ["pack", tmp_path / "list.csv", out, "--gop", "5", "--shard-size", "40KB"]
        return subprocess.Popen(
            [sys.executable, "-c", main, *map(str, arguments), "--workers", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(timeout=120) == 0
    process = start(killed)
    deadline = time.monotonic() + 60
    while not (killed / "journal/chapter-000003.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "index.json").exists()
    first = (killed / "shard-000000.tar").stat().st_mtime_ns
    assert start(killed).wait(timeout=120) == 0
    names = sorted(path.name for path in whole.glob("*.tar"))
    assert len(names) > 4
    for name in [*names, "index.json", "rejects.jsonl"]:
        assert (whole / name).read_bytes() == (killed / name).read_bytes()
    assert sorted(path.name for path in killed.glob("*.tar")) == names
    assert (killed / "shard-000000.tar").stat().st_mtime_ns == first
    assert not list(killed.glob(".scratch-*"))


def test_a_name_on_stdin_that_is_no_utf8_costs_one_video(tmp_path, folder):
    names = [os.fsencode(folder / "0.mp4"), b"caf\xe9.mp4"]
    packed = wmt("pack", "-", tmp_path / "out", "--workers", 1, stdin=b"\n".join(names))
    assert packed.exit_code == 0, packed.output
    assert "1 sample in 1 shard" in packed.stdout
    assert "rejected 1 (1 name)" in packed.stdout


def test_what_strangers_called_things_is_harmless_on_the_terminal(tmp_path, monkeypatch):
    report = CheckReport(
        problems=["a.tar: \x1b[2J[red]\udcff\nk" + "x" * 900_000 + ": json, missing"]
    )
    monkeypatch.setattr("worldmodel_train.data.packing.check.check_shards", lambda *_, **__: report)
    checked = wmt("check", tmp_path / os.fsdecode(b"[b]\x1b\xff"))
    assert checked.exit_code == 1
    assert r"[b]\x1b\xff" in checked.stdout.replace("\n", "").replace(" ", "")
    assert checked.stderr.startswith(r"wrong: a.tar: \x1b[2J[red]\xff\nkxxx")
    assert checked.stderr.endswith("xxx: json, missing\n")
    assert len(checked.stderr) < 400
    assert "\x1b" not in checked.output


def test_a_folder_whose_name_is_no_utf8_is_packed_checked_and_shown(tmp_path, folder):
    out = tmp_path / os.fsdecode(b"out\xff")
    packed = wmt("pack", folder, out, "--workers", 1)
    assert packed.exit_code == 0, packed.output
    assert r"out\xff: 2 samples in 1 shard" in packed.stdout
    for command in (["check", out, "--workers", 1], ["index", out, "--workers", 1], ["show", out]):
        result = wmt(*command)
        assert result.exit_code == 0, result.output
        assert r"out\xff" in result.stdout.replace("\n", "").replace(" ", "")
