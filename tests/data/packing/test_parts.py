import json
import shutil
from pathlib import Path

import pytest

from worldmodel_train.data.packing import parts
from worldmodel_train.data.packing.check import check_shards
from worldmodel_train.data.packing.entries import read_entries
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.parts import Part, begin_part, merge_parts
from worldmodel_train.data.packing.probe import probe_ends
from worldmodel_train.data.shards.shard_set import ShardSet


@pytest.fixture(scope="module")
def lists(tmp_path_factory, videos) -> Path:
    """A list of the six videos, and of the first one again."""
    path = tmp_path_factory.mktemp("lists") / "videos.csv"
    names = sorted(video.relative_to(videos).as_posix() for video in videos.rglob("*.mp4"))
    (videos / "copy.mp4").write_bytes((videos / names[0]).read_bytes())
    path.write_text(
        "\n".join(["path", *(str(videos / n) for n in names), str(videos / "copy.mp4")])
    )
    yield path
    (videos / "copy.mp4").unlink()


@pytest.fixture
def pack_part(lists, run_pack, tmp_path):
    def pack(number, of, source=lists):
        entries = read_entries(str(source), None, [])
        folder, chosen = begin_part(Part(number=number, of=of), entries, tmp_path / "out")
        chosen_list = tmp_path / f"{number}.csv"
        chosen_list.write_text("\n".join(["path", *(entry.source for entry in chosen)]))
        return run_pack(chosen_list, folder, shard_size=20_000)

    return pack


def test_parts_are_neighbours_and_make_up_the_whole(lists):
    entries = read_entries(str(lists), None, [])
    for of in range(1, 8):
        chosen = [Part(number=n, of=of).of_entries(entries) for n in range(1, of + 1)]
        assert [entry for part in chosen for entry in part] == entries
        assert max(map(len, chosen)) - min(map(len, chosen)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "/3", "-1/3"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(PackError, match="write 1/16 for the first of 16 parts"):
        Part.parse(text)


def test_merged_parts_are_a_set_like_one_packed_at_once(tmp_path, lists, pack_part, run_pack):
    for number in (1, 2, 3):
        pack_part(number, 3)
    out = tmp_path / "out"
    report = merge_parts(out)
    assert report.index.samples == 7
    assert report.twice == 1
    names = sorted(path.name for path in out.glob("*.tar"))
    assert names == [f"shard-{k:06d}.tar" for k in range(len(names))]
    assert len(names) >= 3
    assert not list(out.glob("part-*"))
    assert not check_shards(out, probe_ends, workers=1, timeout_s=30.0).problems
    assert len(ShardSet(list(map(str, sorted(out.glob("*.tar")))))) == 7
    once = run_pack(lists, tmp_path / "once", shard_size=20_000)
    assert report.index.seconds == pytest.approx(once.index.seconds + 1.2, abs=0.1)
    assert merge_parts(out).index == report.index


@pytest.mark.parametrize("stop_at", ["_move", "write_atomically"])
def test_a_stopped_merge_goes_on(tmp_path, pack_part, monkeypatch, stop_at):
    for number in (1, 2):
        pack_part(number, 2)
    out = tmp_path / "out"
    whole = tmp_path / "whole"
    shutil.copytree(out, whole)
    expected = merge_parts(whole)
    original, calls = getattr(parts, stop_at), []

    def stop_later(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(parts, stop_at, stop_later)
        with pytest.raises(KeyboardInterrupt):
            merge_parts(out)
    assert not (out / "index.json").exists()
    assert merge_parts(out) == expected
    for path in whole.glob("*.*"):
        assert (out / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_unfinished_parts_are_named_and_nothing_moves(tmp_path, pack_part):
    pack_part(1, 3)
    pack_part(3, 3)
    out = tmp_path / "out"
    with pytest.raises(PackError, match="of 3 parts these are not finished: 2; pack them first"):
        merge_parts(out)
    pack_part(2, 3)
    (out / "part-0003-of-0003/index.json").unlink()
    with pytest.raises(PackError, match="not finished: 3;"):
        merge_parts(out)
    assert not list(out.glob("*.tar"))


@pytest.mark.slow
def test_parts_of_different_wholes_are_not_mixed(tmp_path, lists, pack_part):
    pack_part(1, 2)
    shorter = tmp_path / "shorter.csv"
    shorter.write_text("\n".join(lists.read_text().splitlines()[:-1]))
    with pytest.raises(PackError, match="was begun with another list"):
        pack_part(1, 2, shorter)
    pack_part(2, 2, shorter)
    out = tmp_path / "out"
    with pytest.raises(PackError, match="is part of another list than part-0001-of-0002"):
        merge_parts(out)
    pack_part(1, 3)
    with pytest.raises(PackError, match="holds parts of 2 and of 3"):
        merge_parts(out)


def test_parts_packed_with_other_options_are_not_mixed(tmp_path, lists, pack_part, run_pack):
    pack_part(1, 2)
    pack_part(2, 2)
    path = tmp_path / "out/part-0002-of-0002/index.json"
    index = json.loads(path.read_text())
    index["arguments"]["shard_size"] += 1
    path.write_text(json.dumps(index))
    with pytest.raises(PackError, match="other options than part-0001-of-0002"):
        merge_parts(tmp_path / "out")


def test_a_foreign_shard_is_not_overwritten(tmp_path, pack_part):
    pack_part(1, 1)
    (tmp_path / "out/shard-000000.tar").write_bytes(b"precious")
    with pytest.raises(PackError, match="is of another set"):
        merge_parts(tmp_path / "out")
    assert (tmp_path / "out/shard-000000.tar").read_bytes() == b"precious"


def test_nothing_is_packed_into_a_finished_set_and_nothing_is_not_merged(tmp_path, pack_part):
    pack_part(1, 1)
    merge_parts(tmp_path / "out")
    with pytest.raises(PackError, match="is a finished set already"):
        pack_part(1, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackError, match="nothing to merge"):
        merge_parts(tmp_path / "empty")
    with pytest.raises(PackError, match="no such folder"):
        merge_parts(tmp_path / "nowhere")


def test_more_parts_than_videos_are_refused(lists):
    entries = read_entries(str(lists), None, [])
    with pytest.raises(PackError, match="7 are too few"):
        Part(number=1, of=8).of_entries(entries)


def test_a_merge_removes_nothing_that_packing_did_not_make(tmp_path, pack_part):
    pack_part(1, 1)
    out = tmp_path / "out"
    mine = (
        "part-0001-of-0001/notes.txt", "part-0001-of-0001/journal/mine", "part-a-of-b/film.mp4",
        "part-0001-of-0002-old/film.mp4", "part-0002-of-0002/film.mp4",
    )  # fmt: skip
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("precious")
    merge_parts(out)
    merge_parts(out)
    assert {(out / name).read_text() for name in mine} == {"precious"}
    left = sorted(path.name for path in (out / "part-0001-of-0001").rglob("*"))
    assert left == ["journal", "mine", "notes.txt"]


def test_a_merge_keeps_the_rejects_of_another_set(tmp_path, pack_part):
    pack_part(1, 1)
    (tmp_path / "out/rejects.jsonl").write_text("precious")
    with pytest.raises(PackError, match=r"rejects\.jsonl: is of another set"):
        merge_parts(tmp_path / "out")
    assert (tmp_path / "out/rejects.jsonl").read_text() == "precious"


def test_damaged_rejects_are_named_by_line(tmp_path, pack_part):
    pack_part(1, 1)
    merge_parts(tmp_path / "out")
    (tmp_path / "out/rejects.jsonl").write_text("[" * 100_000)
    with pytest.raises(PackError, match=r"rejects\.jsonl:1: is nested deeper"):
        merge_parts(tmp_path / "out")
