import errno
import json
import os
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from worldmodel_train.data.packing.chapters import Packing
from worldmodel_train.data.packing.encode import EncodeConfig
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.journal import Chapter, Index, Journal, Reject, fingerprint
from worldmodel_train.data.packing.prepare import Job, prepare
from worldmodel_train.data.packing.prepared import Rejected
from worldmodel_train.data.packing.probe import VideoInfo
from worldmodel_train.data.packing.sample import SampleInfo
from worldmodel_train.data.packing.shard_writer import ShardWriter
from worldmodel_train.data.packing.summary import pack_lines
from worldmodel_train.data.video_files import MEMBER_LIMIT


def shards(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.tar"))}


def rejects(out):
    lines = (out / "rejects.jsonl").read_text().splitlines()
    return {line["path"].rsplit("/", 1)[-1]: line["reason"] for line in map(json.loads, lines)}


def test_every_sample_is_a_video_and_its_json_in_folder_order(packed):
    members, infos = [], []
    for path in sorted(packed.glob("*.tar")):
        with tarfile.open(path) as tar:
            members += [(m.name, m.mtime, m.uid, m.uname) for m in tar]
            infos += [
                SampleInfo.model_validate_json(tar.extractfile(name).read())
                for name in tar.getnames()
                if name.endswith(".json")
            ]
    assert [info.source for info in infos] == sorted(info.source for info in infos)
    assert [info.label for info in infos] == ["run"] * 3 + ["walk"] * 3
    for video, description in zip(members[::2], members[1::2], strict=True):
        assert video[0] == description[0].replace(".json", ".mp4")
        assert video[1:] == description[1:] == (0, 0, "")


def test_the_index_counts_what_the_shards_hold(packed):
    index = Index.model_validate_json((packed / "index.json").read_bytes())
    assert sorted(json.loads((packed / "index.json").read_text())) == [
        "arguments", "samples", "seconds", "shards", "version",
    ]  # fmt: skip
    assert [shard.name for shard in index.shards] == sorted(shards(packed))
    assert len(index.shards) > 1
    assert all(shard.bytes <= 20_000 for shard in index.shards)
    assert sum(shard.samples for shard in index.shards) == index.samples == 6
    assert index.seconds == pytest.approx(6 * 1.2, abs=0.1)
    assert not list(packed.glob(".*.partial"))


def test_the_same_videos_give_the_same_shards_whatever_the_number_of_workers(
    tmp_path, packed, videos, run_pack
):
    moved = tmp_path / "moved"
    shutil.copytree(videos, moved)
    run_pack(moved, tmp_path / "again", workers=2, shard_size=20_000)
    assert shards(tmp_path / "again") == shards(packed)
    assert (tmp_path / "again/index.json").read_bytes() == (packed / "index.json").read_bytes()


def test_bad_videos_and_duplicates_are_rejected_and_the_rest_is_packed(
    tmp_path, videos, make_video, run_pack
):
    good = make_video(tmp_path / "in/good.mp4")
    shutil.copy(good, tmp_path / "in/zwilling.mp4")
    (tmp_path / "in/empty.mp4").touch()
    (tmp_path / "in/page.mp4").write_text("<html>404</html>")
    (tmp_path / "in/torn.mp4").write_bytes(good.read_bytes()[:900])
    report = run_pack(tmp_path / "in", tmp_path / "out")
    assert report.index.samples == 1
    assert rejects(tmp_path / "out") == {
        "empty.mp4": "empty", "page.mp4": "undecodable", "torn.mp4": "undecodable",
        "zwilling.mp4": "duplicate",
    }  # fmt: skip
    assert "scratch" not in (tmp_path / "out/rejects.jsonl").read_text()


def test_a_listed_path_that_is_gone_is_rejected(tmp_path, make_video, run_pack):
    make_video(tmp_path / "a.mp4")
    (tmp_path / "l.csv").write_text("path\ngone.mp4\na.mp4\na.mp4\nl.csv\n")
    report = run_pack(tmp_path / "l.csv", tmp_path / "out")
    assert report.rejects == {"missing": 1, "duplicate": 1, "suffix": 1}
    assert report.index.samples == 1


def test_segments_of_one_video_become_samples_of_their_own(tmp_path, make_video, run_pack):
    make_video(tmp_path / "a.mp4", frames=40)
    (tmp_path / "l.csv").write_text("path,start,end\na.mp4,0,1\na.mp4,2,3.5\na.mp4,50,51\n")
    report = run_pack(tmp_path / "l.csv", tmp_path / "out", encode={"short_side": 32})
    assert report.index.samples == 2
    assert report.index.seconds == pytest.approx(2.5)
    assert report.rejects == {"empty": 1}
    with pytest.raises(PackError, match="start and end need re-encoding"):
        run_pack(tmp_path / "l.csv", tmp_path / "raw")


def test_lists_without_names_have_the_fingerprint_that_they_always_had():
    entry = Entry(source="a.mp4", path=Path("x"), label="run", start=1.0)
    assert fingerprint([entry]).startswith("15a2d5e7ce5e80d0")
    assert fingerprint([replace(entry, name="n")]) != fingerprint([entry])
    assert fingerprint([replace(entry, labels=("n",))]) != fingerprint([entry])


def test_a_finished_set_is_left_as_it_is(tmp_path, packed, videos, run_pack):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    report = run_pack(videos, out, shard_size=20_000)
    assert report.resumed_entries == 6
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")} == before


@pytest.mark.parametrize("name", ["chapter-000001.json", "arguments.json"])
def test_a_digit_of_the_journal_that_is_another_is_named(tmp_path, packed, videos, run_pack, name):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    path = out / "journal" / name
    digits = re.sub(rb'(_entry":|entries": )\d+', rb"\g<1>5", path.read_bytes(), count=1)
    assert digits != path.read_bytes()
    path.write_bytes(digits)
    with pytest.raises(PackError, match=rf"{name}: its checksum is wrong.*journal is damaged"):
        run_pack(videos, out, shard_size=20_000)


def test_a_set_that_an_older_version_began_goes_on(tmp_path, videos, run_pack):
    run_pack(videos, tmp_path / "out", encode=EncodeConfig(short_side=32))
    path = tmp_path / "out" / "journal" / "arguments.json"
    stored = json.loads(path.read_bytes())
    del stored["sha256"], stored["arguments"]["encode"]["tune"]
    path.write_text(json.dumps(stored))
    again = run_pack(videos, tmp_path / "out", encode=EncodeConfig(short_side=32))
    assert again.resumed_entries == 6


@pytest.mark.parametrize("damage", ["of an older version", "gone"])
def test_rows_of_a_journal_that_cannot_be_read_are_found_by_a_scan(
    tmp_path, packed, videos, run_pack, caplog, damage
):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    for rows in (out / "journal").glob("*.rows"):
        rows.unlink()
        if damage != "gone":
            rows.write_bytes(bytes(48 * 2) + b"keys")
    (out / "samples.idx").unlink()
    run_pack(videos, out, shard_size=20_000)
    assert (out / "samples.idx").read_bytes() == (packed / "samples.idx").read_bytes()
    assert "shard-000000.tar.rows" in caplog.text


def test_other_arguments_or_videos_on_a_begun_set_are_an_error(tmp_path, packed, videos, run_pack):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    with pytest.raises(PackError, match="begun with other arguments"):
        run_pack(videos, out, shard_size=30_000)
    with pytest.raises(PackError, match="begun with another list of videos"):
        run_pack(videos / "run", out, shard_size=20_000)
    assert shards(out) == shards(packed)


def test_a_folder_with_foreign_shards_is_not_touched(tmp_path, videos, run_pack):
    (tmp_path / "train-000.tar").write_bytes(b"precious")
    with pytest.raises(PackError, match=r"holds train-000\.tar without a journal"):
        run_pack(videos, tmp_path)
    assert (tmp_path / "train-000.tar").read_bytes() == b"precious"


def test_a_finished_shard_that_vanished_is_an_error(tmp_path, packed, videos, run_pack):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    (out / "shard-000001.tar").unlink()
    with pytest.raises(PackError, match=r"shard-000001\.tar: was finished"):
        run_pack(videos, out, shard_size=20_000)


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("moment", ["shard half written", "shard renamed, not yet in the journal"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path, packed, videos, run_pack, monkeypatch, moment
):
    owner, name = (ShardWriter, "add") if moment.startswith("shard half") else (Journal, "append")
    original, calls = getattr(owner, name), []

    def stop_later(self, *arguments):
        calls.append(arguments)
        if len(calls) == (4 if owner is ShardWriter else 2):
            raise Interrupted
        return original(self, *arguments)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop_later)
        with pytest.raises(Interrupted):
            run_pack(videos, out, shard_size=20_000)
    assert not (out / "index.json").exists()
    report = run_pack(videos, out, shard_size=20_000)
    assert 0 < report.resumed_entries < 6
    assert shards(out) == shards(packed)
    assert (out / "index.json").read_bytes() == (packed / "index.json").read_bytes()
    assert (out / "rejects.jsonl").read_bytes() == (packed / "rejects.jsonl").read_bytes()


def test_a_full_disk_leaves_finished_shards_and_no_litter(
    tmp_path, packed, videos, run_pack, monkeypatch
):
    original = ShardWriter.add

    def no_space(self, key, sample):
        if self.name == "shard-000001.tar":
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, key, sample)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", no_space)
        with pytest.raises(OSError, match="No space"):
            run_pack(videos, tmp_path / "out", shard_size=20_000)
    first = (tmp_path / "out/shard-000000.tar").read_bytes()
    assert shards(tmp_path / "out") == {"shard-000000.tar": first}
    assert first == (packed / "shard-000000.tar").read_bytes()
    assert not list((tmp_path / "out").glob(".s*"))


def test_names_that_no_file_can_have_cost_one_video_each(tmp_path, make_video, run_pack):
    good = make_video(tmp_path / "in/good.mp4")
    shutil.copy(good, os.fsencode(tmp_path / "in") + b"/b\xe9.mp4")
    report = run_pack(tmp_path / "in", tmp_path / "out")
    assert report.index.samples == 1
    assert rejects(tmp_path / "out") == {"b\\udce9.mp4": "name"}

    lines = [{"path": name} for name in ("a" * 300 + ".mp4", "b\0.mp4", "in/good.mp4")]
    lines.append({"path": "in/good.mp4", "caption": "\ud800"})
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report = run_pack(tmp_path / "l.jsonl", tmp_path / "listed")
    assert report.index.samples == 1
    assert report.rejects == {"unreadable": 1, "missing": 1, "name": 1}


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("encode", [None, EncodeConfig()])
def test_a_file_that_cannot_be_looked_at_is_rejected(tmp_path, monkeypatch, number, encode):
    def refuse(path):
        raise OSError(number, os.strerror(number), str(path))

    path = tmp_path / "a.mp4"
    job = Job(entry=Entry(source="a.mp4", path=path), encode=encode, scratch=tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda self, **_: refuse(self))
        outcome = prepare(job, lambda: None)
    assert outcome == Rejected(reason="unreadable", detail=os.strerror(number))


def test_a_video_larger_than_training_reads_is_rejected_unread(tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    os.truncate(path, MEMBER_LIMIT + 1)  # sparse
    job = Job(entry=Entry(source="a.mp4", path=path), encode=None, scratch=tmp_path / "s")
    outcome = prepare(job, lambda: None)
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "too_large"
    assert "start and end" in outcome.detail


def test_totals_are_kept_and_not_counted_again_for_each_video(tmp_path, packed, videos, run_pack):
    out, reports = tmp_path / "out", []
    shutil.copytree(packed, out)
    (out / "index.json").unlink()
    reports.append(run_pack(videos, out, shard_size=20_000))
    packing = Packing(out, reports[0].index.arguments, Journal(out), [])
    size = sum(shard.bytes for shard in reports[0].index.shards)
    for shard in reports[0].index.shards:
        reject = Reject(path="x", reason="empty", detail="")
        packing._finish(
            Chapter(next_entry=1, shard=shard, seconds=1.0, contents={}, rejects=(reject,))
        )
    packing._chapters.clear()  # what is finished is not looked at again
    assert packing.totals() == (size, len(reports[0].index.shards))


def test_what_is_left_out_of_a_folder_is_in_the_rejects_and_counted(tmp_path, make_video, run_pack):
    make_video(tmp_path / "in/good.mp4")
    (tmp_path / "in/gone.mp4").symlink_to("nowhere")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    report = run_pack(tmp_path / "in", tmp_path / "out", encode=EncodeConfig(short_side=32))
    assert report.index.samples == 1
    assert report.rejects == {"link": 2}
    assert rejects(tmp_path / "out") == {"gone.mp4": "link", "round": "link"}
    assert "rejected 2 (2 link)" in pack_lines(report, tmp_path / "out")[1]


def test_packing_removes_nothing_that_it_did_not_make(tmp_path, make_video, run_pack):
    make_video(tmp_path / "in/good.mp4")
    out = tmp_path / "out"
    mine = (
        ".scratch-mine/film.mp4", ".notes.partial", ".shard-000000.tar.partial",
        ".index.json.partial", ".rejects.jsonl.partial", ".samples.idx.partial",
        "journal/scratch-mine/film.mp4",
    )  # fmt: skip
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("precious")
    for _ in range(2):  # fresh, and going on
        run_pack(tmp_path / "in", out)
        assert {(out / name).read_text() for name in mine} == {"precious"}


@pytest.mark.parametrize(
    "name", ["index.json", "rejects.jsonl", "samples.idx", "journal/chapter-000000.json"]
)
def test_packing_writes_over_nothing_in_a_folder_that_it_did_not_begin(
    tmp_path, videos, name, run_pack
):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(PackError, match=f"holds {name} without a journal"):
        run_pack(videos, tmp_path / "out")
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["arguments.json", "chapter-000001.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"entries": 1e999}',
        b'{"entries": ' + b"9" * 5000 + b"}",
        b"{}",
    ],
)
def test_a_damaged_journal_names_the_file(tmp_path, packed, videos, run_pack, name, content):
    out = tmp_path / "out"
    shutil.copytree(packed, out)
    (out / "journal" / name).write_bytes(content)
    with pytest.raises(PackError, match="the journal is damaged") as error:
        run_pack(videos, out, shard_size=20_000)
    assert str(error.value).startswith(f"{out}/journal/{name}: ")
    assert "\n" not in str(error.value)
    assert "pydantic" not in str(error.value)
    assert "validation error" not in str(error.value)


def test_a_video_whose_duration_rounds_to_nothing_is_rejected(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    info = VideoInfo(fps=50_000.0, frames=1, width=64, height=48, duration=0.0, codec="h264")
    monkeypatch.setattr("worldmodel_train.data.packing.prepare.probe_ends", lambda *_: info)
    job = Job(entry=Entry(source="a.mp4", path=path), encode=None, scratch=tmp_path / "s")
    assert prepare(job, lambda: None) == Rejected(reason="timestamps", detail="1 frames in 0 s")
    assert not (tmp_path / "s").exists()
