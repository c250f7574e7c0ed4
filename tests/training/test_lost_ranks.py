"""Two ranks of which one is late, stopped, killed or fed bad data: what each says and ends with."""

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training import torchrun
from tests.training.forked import Forked

STALL = {"stall": {"factor": 2.0, "seconds": 1.0}}

pytestmark = pytest.mark.distributed


class Two:
    """Two ranks as a launcher would start them, with what each writes to standard error."""

    def __init__(self, run_dir: Path, **options) -> None:
        options = {"run_dir": str(run_dir), "micro_batch": 2, **options}
        self.logs = [run_dir.parent / f"{run_dir.name}_{rank}.log" for rank in (0, 1)]
        self.processes = [
            Forked("toy_run", options, place, log)
            for log, place in zip(self.logs, torchrun.places(2), strict=True)
        ]

    def said(self, rank: int) -> str:
        return self.logs[rank].read_text()

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < deadline, [self.said(0), self.said(1)]
            time.sleep(0.02)

    def codes(self) -> list[int]:
        return [process.wait() for process in self.processes]


@pytest.fixture
def two(tmp_path):
    started = []

    def start(**options) -> Two:
        started.append(Two(tmp_path / "run", **options))
        return started[-1]

    yield start
    for process in (process for one in started for process in one.processes):
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_late_loader_is_named_by_its_rank_and_by_the_rank_that_waits_for_it(two):
    ranks = two(late=[1, 5, 6.0], guard=STALL)
    assert ranks.codes() == [0, 0]
    assert re.search(r"rank 1 \(\S+\) has waited \d\.\d s for data after step [45] ", ranks.said(1))
    assert re.search(r"rank 1 \(\S+\) got its data after [5-9]\.\d s at step [45]", ranks.said(1))
    assert re.search(r"rank 0 \(\S+\) has been in a step for .*rank 1 .* is waiting for data",
                     ranks.said(0))  # fmt: skip
    assert re.search(r"rank 0 \(\S+\) went on after \d+\.\d s at step [45]", ranks.said(0))


def test_a_rank_whose_process_is_stopped_is_named_by_the_other(two):
    ranks = two(steps=4000, pace=0.01, guard=STALL)
    ranks.until(lambda: "step 20/" in ranks.said(0))
    ranks.processes[1].send_signal(signal.SIGSTOP)
    note = "rank 1 left no note: busy, stopped or gone"
    ranks.until(lambda: note in ranks.said(0))
    assert note not in ranks.said(1)


@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_rank_is_killed_the_other_says_where_the_run_was_and_fails(two, tmp_path, killed):
    ranks = two(steps=4000, pace=0.01, save_every=10)
    ranks.until(lambda: "step 20/" in ranks.said(0))
    ranks.processes[killed].send_signal(signal.SIGKILL)
    left = 1 - killed
    assert ranks.processes[left].wait() != 0
    last_words = ranks.said(left).strip().splitlines()[-1]
    assert f"LostContactError: rank {left} ended: lost contact with another rank" in last_words
    assert str(tmp_path / "run" / "checkpoints" / "step_") in last_words


def test_samples_that_one_rank_skips_are_counted_by_both(two, tmp_path):
    ranks = two(bad=[1, 1], steps=4)
    assert ranks.codes() == [0, 0]
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["skipped"] for line in lines] == [{"truncated": step} for step in (1, 2, 3, 4)]
    assert lines[0]["ranks"]["max_data_wait_rank"] in (0, 1)


def test_bad_data_of_one_rank_stops_both_at_the_same_step_with_the_same_words(two):
    ranks = two(bad=[1, 60], steps=50)
    assert 0 not in ranks.codes()
    words = [re.search(r"BadDataError: (.*)", ranks.said(rank)) for rank in (0, 1)]
    assert words[0][1] == words[1][1]
    assert "120 of 128 samples are bad" in words[0][1]
