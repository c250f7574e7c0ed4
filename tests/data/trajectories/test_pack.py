import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from worldmodel_train.data.packing import chapters, pool
from worldmodel_train.data.packing.chapters import Packing
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.journal import PackArguments
from worldmodel_train.data.packing.parts import Part, begin_part, merge_parts
from worldmodel_train.data.packing.probe import probe_ends
from worldmodel_train.data.packing.progress import PackProgress
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.wanted_files import EPISODES
from worldmodel_train.data.trajectories.check import check_episodes, holds_episodes
from worldmodel_train.data.trajectories.contact_sheet import write_episode_sheet
from worldmodel_train.data.trajectories.episode import read_episode
from worldmodel_train.data.trajectories.formats.open import open_reader
from worldmodel_train.data.trajectories.pack import find_recordings, pack_episodes

ROWS = 5


class InThisProcess:
    """What runs the task for each payload where a pool of workers would."""

    def __class_getitem__(cls, _):
        return cls

    def __init__(self, task, *_, **__):
        self._task = task

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def map_in_order(self, payloads, _):
        return (self._task(payload, lambda: None) for payload in payloads)


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch):
    monkeypatch.setattr(chapters, "WorkerPool", InThisProcess)


def pack(source, out, shard_size=1_000_000, part=None, **wanted):
    episodes = EpisodeArguments.model_validate({"format": "npz"} | wanted)
    recordings = find_recordings(source, episodes)
    folder = out
    if part is not None:
        folder, entries = begin_part(Part.parse(part), recordings.entries, out)
        recordings = replace(recordings, entries=entries)
    return pack_episodes(
        recordings,
        folder,
        PackArguments(shard_size=shard_size, episodes=episodes),
        workers=1,
        timeout_s=30.0,
        progress=PackProgress(Console(quiet=True)),
    )


def write(folder, numbers, size=(4, 8)):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        level = np.arange(ROWS, dtype=np.uint8) + 10 * number
        pictures = np.broadcast_to(level[:, None, None, None], (ROWS, *size, 3))
        actions = np.full((ROWS, 2), number, np.float32)
        np.savez(folder / f"{number}.npz", observations=pictures, actions=actions)
    return folder


def episodes(out):
    files = ShardSet([str(path) for path in sorted(out.glob("*.tar"))])
    samples = [files.sample(number, EPISODES) for number in range(len(files))]
    return {sample.key: read_episode(sample, most_bytes=1 << 20) for sample in samples}


def test_what_is_packed_is_read_as_episodes(tmp_path):
    report = pack(write(tmp_path / "in", range(3)), tmp_path / "out")
    assert (report.index.samples, report.rejects) == (3, {})
    found = episodes(tmp_path / "out")
    assert [key.split("-")[0] for key in found] == ["0", "1", "2"]
    last = list(found.values())[-1]
    assert last.observations[:, 0, 0, 0].tolist() == [20, 21, 22, 23, 24]
    assert last.actions.tolist() == [[2, 2]] * (ROWS - 1)
    assert holds_episodes(tmp_path / "out")


def test_parts_that_are_merged_are_the_whole(tmp_path):
    source, out = write(tmp_path / "in", range(5)), tmp_path / "out"
    for number in (1, 2):
        pack(source, out, part=f"{number}/2")
    report = merge_parts(out)
    assert (report.index.samples, report.twice) == (5, 0)
    pack(source, tmp_path / "whole")
    whole = episodes(tmp_path / "whole")
    merged = episodes(out)
    assert list(merged) == list(whole)
    for key, episode in merged.items():
        np.testing.assert_array_equal(episode.observations, whole[key].observations)
    assert holds_episodes(out)


def test_a_shard_that_is_gone_changed_or_added_is_found_by_the_index(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "WorkerPool", InThisProcess)
    out = tmp_path / "out"
    pack(write(tmp_path / "in", range(6)), out, shard_size=12_000)
    first, second, *_ = sorted(out.glob("*.tar"))
    assert not check_episodes(out, probe_ends, workers=1, timeout_s=9.0).problems
    shutil.copy(second, out / "stranger.tar")
    first.unlink()
    content = bytearray(second.read_bytes())
    content[-1] ^= 1  # of the padding
    second.write_bytes(content)
    problems = check_episodes(out, probe_ends, workers=1, timeout_s=9.0).problems
    assert problems == [
        "stranger.tar: not listed in index.json",
        f"{first.name}: tar, no such file",
        f"{second.name}: its sha256 differs from the index",
    ]


def test_episodes_of_one_file_are_told_apart_by_their_keys(tmp_path):
    (tmp_path / "in").mkdir()
    actions = np.arange(8, dtype=np.float32).reshape(2, 4, 1)
    np.savez(tmp_path / "in/push.npz", observations=np.zeros((2, 4, 3)), actions=actions)
    pack(tmp_path / "in", tmp_path / "out")
    keys = [key.rsplit("-", 1)[0] for key in episodes(tmp_path / "out")]
    assert keys == ["push_000000", "push_000001"]


def test_bad_episodes_and_those_that_are_there_twice_are_rejected_by_name(tmp_path):
    source = write(tmp_path / "in", range(2))
    (source / "again.npz").write_bytes((source / "0.npz").read_bytes())
    (source / "torn.npz").write_bytes(b"PK")
    np.savez(source / "nan.npz", observations=np.zeros((3, 2)), actions=np.full(3, np.nan))
    report = pack(source, tmp_path / "out")
    assert report.rejects == {"duplicate": 1, "unreadable": 1, "not_finite": 1}
    lines = (tmp_path / "out/rejects.jsonl").read_text().splitlines()
    rejected = {line["path"]: line["reason"] for line in map(json.loads, lines)}
    assert rejected == {"again.npz": "duplicate", "torn.npz": "unreadable", "nan.npz": "not_finite"}


def test_a_name_that_no_tar_can_hold_is_rejected(tmp_path):
    source = write(tmp_path / "in", range(1))
    (source / "0.npz").rename(source / os.fsdecode(b"\xff.npz"))
    report = pack(source, tmp_path / "out")
    assert report.rejects == {"name": 1}


class Interrupted(BaseException):
    pass


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    source = write(tmp_path / "in", range(6))
    pack(source, tmp_path / "whole", shard_size=12_000)
    original, calls = Packing._add, []

    def stop_later(self, *arguments):
        calls.append(arguments)
        if len(calls) == 6:
            raise Interrupted
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Packing, "_add", stop_later)
        with pytest.raises(Interrupted):
            pack(source, tmp_path / "out", shard_size=12_000)
    report = pack(source, tmp_path / "out", shard_size=12_000)
    assert 0 < report.resumed_entries < 6
    names = sorted(path.name for path in (tmp_path / "whole").glob("*.tar"))
    assert len(names) > 1
    for name in (*names, "samples.idx"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list((tmp_path / "out/journal").glob("scratch-*")) == []


def test_a_folder_of_other_arguments_is_not_gone_on_with(tmp_path):
    source = write(tmp_path / "in", range(2))
    pack(source, tmp_path / "out")
    with pytest.raises(PackError, match="begun with other arguments"):
        pack(source, tmp_path / "out", size=(2, 2))


def test_pictures_are_cut_in_the_middle_and_scaled(tmp_path):
    (tmp_path / "in").mkdir()
    pictures = np.zeros((ROWS, 8, 16, 3), np.uint8)
    pictures[:, :, 4:8] = 100  # the left half of the middle
    np.savez(tmp_path / "in/a.npz", observations=pictures, actions=np.zeros((ROWS, 1)))
    pack(tmp_path / "in", tmp_path / "out", size=(4, 4))
    (found,) = episodes(tmp_path / "out").values()
    assert found.observations.shape == (ROWS, 4, 4, 3)
    assert found.observations[0, 0, :, 0].tolist() == [100, 100, 0, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"format": "npz", "camera": "a,b"}, "--camera a,b: --format npz keeps one; name one"),
        ({"format": "droid", "camera": "left,left"}, "a camera is named twice; name each once"),
        ({"format": "npz", "every": 2}, r"--every 2: only of droid .* set `data\.frameskip`"),
        ({"format": "droid", "states": ("a",)}, "--states: goes with hdf5, npz and lerobot"),
        ({"format": "lerobot", "fps": 30}, r"--fps: meta/info\.json says it"),
        ({"format": "lerobot", "size": (225, 400)}, "--resize: videos have even sides"),
    ],
)
def test_an_option_that_does_not_suit_the_format_is_refused(tmp_path, given, message):
    with pytest.raises(PackError, match=message):
        open_reader(tmp_path, EpisodeArguments.model_validate(given))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PackError, match="no such folder"):
        open_reader(tmp_path / "gone", EpisodeArguments(format="npz"))


def test_sets_of_videos_are_described_as_they_ever_were():
    assert set(PackArguments().model_dump()) == {"shard_size", "encode"}


def test_a_sheet_shows_the_pictures_of_episodes(tmp_path):
    pack(write(tmp_path / "in", range(3), size=(40, 60)), tmp_path / "out")
    write_episode_sheet(tmp_path / "out", tmp_path / "sheet.png", 2)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    levels = {int(value) for value in np.unique(sheet)}
    assert {0, 1, 2, 3, 4} <= levels
    assert {20, 21, 22, 23, 24} <= levels
    assert 120 < sheet.shape[0] < 400


def test_a_sheet_of_numbers_has_rows_without_pictures(tmp_path):
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in/a.npz", observations=np.zeros((ROWS, 2)), actions=np.zeros((ROWS, 1)))
    pack(tmp_path / "in", tmp_path / "out")
    write_episode_sheet(tmp_path / "out", tmp_path / "sheet.png", 2)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_sheet_of_a_broken_episode_names_it(tmp_path):
    pack(write(tmp_path / "in", range(1)), tmp_path / "out")
    (shard,) = (tmp_path / "out").glob("*.tar")
    content = bytearray(shard.read_bytes())
    content[700:720] = bytes(20)
    shard.write_bytes(content)
    with pytest.raises(PackError, match=r"0-.*: corrupt_episode; see `wmt data check"):
        write_episode_sheet(tmp_path / "out", tmp_path / "sheet.png", 1)
