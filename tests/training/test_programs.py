"""Runs as programs: killed, continued, and on two processes."""

import signal
import time
from pathlib import Path

import pytest
import torch

from tests.training import torchrun
from tests.training.forked import Forked


def start(run_dir: Path, place: dict[str, str] | None = None, **options) -> Forked:
    return Forked("toy_run", {"run_dir": str(run_dir), **options}, place)


def run(run_dir: Path, **options) -> int:
    return start(run_dir, **options).wait()


def two(run_dir: Path, **options) -> list[Forked]:
    """Two processes as torchrun would start them."""
    return [start(run_dir, place, **options) for place in torchrun.places(2)]


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    for name, tensor in one.items():
        if not name.endswith("passes"):
            torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on_exactly(tmp_path, losses, weights, assert_same):
    one, other = tmp_path / "one", tmp_path / "other"
    assert run(one, micro_batch=2) == 0
    assert run(other, micro_batch=2, kill=["SIGTERM", 4]) == 143
    assert max(losses(other)) in (4, 5)
    assert run(other, micro_batch=2) == 0
    assert losses(one) == losses(other)
    assert_same(weights(one), weights(other))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_killed_with_9_goes_on_exactly(tmp_path, losses, weights, assert_same, precision):
    one, other = tmp_path / "one", tmp_path / "other"
    options = {"precision": precision, "save_every": 3}
    assert run(one, **options) == 0
    assert run(other, **options, kill=["SIGKILL", 6]) == -signal.SIGKILL
    assert run(other, **options) == 0
    assert losses(one) == losses(other)
    assert_same(weights(one), weights(other))


@pytest.mark.slow
def test_kills_at_any_instant_leave_a_run_that_goes_on_exactly(
    tmp_path, losses, weights, assert_same
):
    """Saves after each step, so that most kills fall into a save."""
    one, other = tmp_path / "one", tmp_path / "other"
    options = {"save_every": 1, "steps": 90}
    assert run(one, **options) == 0
    kills = 0
    for delay in (0.02, 0.11, 0.23):
        process = start(other, **options)
        before = progress(other)
        while process.runs and progress(other) == before:
            time.sleep(0.005)
        time.sleep(delay)
        kills += process.runs
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 2
    assert run(other, **options) == 0
    assert losses(one) == losses(other)
    assert_same(weights(one), weights(other))


def progress(run_dir: Path) -> str:
    pointer = run_dir / "checkpoints" / "last"
    return pointer.read_text() if pointer.exists() else ""


@pytest.mark.distributed
@pytest.mark.parametrize("micro_batch", [2, 1])
def test_two_processes_equal_one(tmp_path, losses, weights, micro_batch):
    one, other = tmp_path / "one", tmp_path / "other"
    assert run(one, dropout=0.0, micro_batch=4) == 0
    processes = two(other, dropout=0.0, micro_batch=micro_batch)
    assert [process.wait() for process in processes] == [0, 0]
    for step, loss in losses(one).items():
        assert losses(other)[step] == pytest.approx(loss, rel=1e-5)
    assert_close(weights(one), weights(other))


@pytest.mark.distributed
def test_two_processes_leave_together_when_only_one_is_told_and_go_on_exactly(
    tmp_path, losses, weights, assert_same
):
    one, other = tmp_path / "one", tmp_path / "other"
    options = {"micro_batch": 2, "steps": 60}
    assert [process.wait() for process in two(one, **options)] == [0, 0]
    processes = two(other, **options, pace=0.05)
    while not (other / "metrics.jsonl").exists():
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    assert [process.wait() for process in processes] == [143, 143]
    assert len(losses(other)) < 60
    assert [process.wait() for process in two(other, **options)] == [0, 0]
    assert losses(one) == losses(other)
    assert_same(weights(one), weights(other))


@pytest.mark.distributed
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, losses, weights):
    one, other = tmp_path / "one", tmp_path / "other"
    options = {"dropout": 0.0, "micro_batch": 2}
    assert run(one, **options) == 0
    assert run(other, **options, kill=["SIGTERM", 4]) == 143
    assert [process.wait() for process in two(other, **options)] == [0, 0]
    assert losses(one).keys() == losses(other).keys()
    assert_close(weights(one), weights(other))
