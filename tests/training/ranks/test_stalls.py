import itertools
import logging
import os
import time

import pytest

from worldmodel_train.training.clock import Clock
from worldmodel_train.training.ranks.stall_notes import StallNotes, ranges
from worldmodel_train.training.ranks.stalls import StallConfig, StallWatch


class Rank:
    """A rank whose clock is set back instead of waited for."""

    def __init__(self, run_dir, rank=0, world_size=1, step_seconds=0.45):
        self.clock = Clock(4, fastest=8.0)
        self.clock.begin(7)
        if step_seconds:
            self.clock._step_since -= step_seconds
            self.clock.count_step()
        self.notes = StallNotes(run_dir, rank=rank, world_size=world_size)
        self.watch = StallWatch(self.clock, self.notes, StallConfig(factor=10.0, seconds=1.0))

    def wait(self, seconds):
        """`seconds` more in the phase it is in, seen in looks that are one second apart."""
        for _ in range(round(seconds)):
            self.clock.phase.since -= 1.0
            self.watch.look()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, logger="worldmodel_train")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_rank_that_waits_for_data_names_itself_and_says_how_long_it_took(tmp_path, said):
    rank = Rank(tmp_path, rank=3, world_size=8)
    rank.clock.last_sample = 96
    with rank.clock.waiting():
        rank.wait(4)
        assert said() == []  # less than ten median steps of half a second
        rank.wait(2)
    rank.watch.look()
    stalled, over = said()
    for part in ("rank 3 (", "has waited 5.0 s for data after step 8", "median step 0.45 s",
                 "last batch began with sample 96"):  # fmt: skip
        assert part in stalled
    assert "got its data after 6.0 s at step 8" in over


def test_a_long_stall_is_told_again_when_it_has_doubled(tmp_path, said):
    rank = Rank(tmp_path)
    with rank.clock.waiting():
        rank.wait(40)
    told = [float(text.split(" s for data")[0].split()[-1]) for text in said()]
    assert told[0] == 5.0
    assert len(told) in (3, 4)
    assert all(later >= 2 * earlier - 0.1 for earlier, later in itertools.pairwise(told))


def test_of_the_others_only_the_lowest_speaks_and_it_names_who_waits_for_data(tmp_path, said):
    ranks = [Rank(tmp_path, rank=number, world_size=4) for number in range(4)]
    with ranks[2].clock.waiting():
        for _ in range(8):
            for rank in ranks:
                rank.wait(1)
    mine, first = said()
    assert mine.startswith("rank 2 (")
    assert first.startswith("rank 0 (")
    assert "has been in a step for" in first
    assert "rank 2 (" in first.split(";")[1]
    assert "is waiting for data" in first
    assert "left no note" not in first


def test_a_rank_that_left_no_note_is_named(tmp_path, said):
    ranks = [Rank(tmp_path, rank=number, world_size=4) for number in (1, 2)]
    for _ in range(8):
        for rank in ranks:
            rank.wait(1)
    [text] = said()
    assert text.startswith("rank 1 (")
    assert "ranks 0, 3 left no note: busy, stopped or gone" in text


def test_when_all_are_in_a_step_that_is_said(tmp_path, said):
    ranks = [Rank(tmp_path, rank=number, world_size=2) for number in (0, 1)]
    for _ in range(8):
        for rank in ranks:
            rank.wait(1)
    [text] = said()
    assert text.endswith("so are all other ranks")


def test_the_note_goes_when_the_stall_is_over_and_when_the_run_ends(tmp_path):
    rank = Rank(tmp_path)
    with rank.clock.waiting():
        rank.wait(6)
        assert len(list((tmp_path / "stalls").iterdir())) == 1
    rank.watch.look()
    assert list((tmp_path / "stalls").iterdir()) == []
    rank.wait(6)
    with rank.watch:  # also what a start that was killed has left
        assert list((tmp_path / "stalls").iterdir()) == []


def test_saves_and_the_first_step_may_take_ten_times_as_long(tmp_path, said):
    saving, first = Rank(tmp_path), Rank(tmp_path, step_seconds=None)
    with saving.clock.stopped():
        saving.wait(49)
        assert said() == []
        saving.wait(20)
        assert "saving or drawing" in said()[0]
    with first.clock.waiting():
        first.wait(9)
        assert len(said()) == 1
        first.wait(2)
        assert "has waited 10.0 s for data after step 7; no batch yet" in said()[1]


def test_a_run_without_stalls_writes_nothing(tmp_path, said):
    rank = Rank(tmp_path)
    with rank.watch:
        for _ in range(3):
            rank.watch.look()
            rank.clock.count_step()
    assert said() == []
    assert list(tmp_path.iterdir()) == []


def test_the_thread_sees_a_stall_of_the_main_thread(tmp_path, said):
    rank = Rank(tmp_path, step_seconds=0.001)
    watch = StallWatch(rank.clock, rank.notes, StallConfig(factor=2.0, seconds=0.02))
    with watch, rank.clock.waiting():
        deadline = time.monotonic() + 60
        while not said() and time.monotonic() < deadline:
            time.sleep(0.005)
    assert "for data" in said()[0]


def test_a_note_that_cannot_be_left_is_a_warning_and_the_run_goes_on(tmp_path, said, monkeypatch):
    def full(activity, *, waited):
        raise OSError("No space left on device")

    rank = Rank(tmp_path, step_seconds=0.001)
    monkeypatch.setattr(rank.notes, "leave", full)
    watch = StallWatch(rank.clock, rank.notes, StallConfig(factor=2.0, seconds=0.02))
    with watch, rank.clock.waiting():
        deadline = time.monotonic() + 60
        while not said() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert watch._thread.is_alive()
    assert said() == ["rank 0 cannot leave its note: No space left on device"]


def test_ranges():
    assert ranges([5, 0, 2, 1]) == "0-2, 5"
    assert ranges([7]) == "7"


@pytest.mark.parametrize("damage", ["pipe", "half", "huge", "other"])
def test_a_note_that_cannot_be_read_counts_as_none(tmp_path, said, damage):
    first, *_ = ranks = [Rank(tmp_path, r, 3) for r in range(3)]
    for rank in ranks:
        rank.notes.leave("step", waited=1.0)
    path = tmp_path / "stalls" / "rank_00001.json"
    if damage == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        texts = {"half": '{"rank": 1, "no', "huge": " " * 10_000, "other": '{"rank": "one"}'}
        path.write_text(texts[damage])
    assert "rank 1 left no note" in first.notes.others("data")
    assert "rank_00001.json" in said()[0]
