"""`wmt pretrain --processes 2` and torchrun: a lost process, signals, and errors of the user."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
import torch

from tests.cli.launched import STEPS, Run, assert_gone, last_step, left_in
from worldmodel_train.cli.exit_codes import USER_ERROR
from worldmodel_train.training.checkpoints.reader import read_weights

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


def losses(run_dir: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return {line["step"]: line["loss"] for line in lines}


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_weights(run_dir / "checkpoints" / f"step_{STEPS:08d}")


def assert_equal(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("unbroken") / "run")
    assert run.code() == 0, run.said
    return run.run_dir


@pytest.mark.parametrize(("launcher", "rank"), [("wmt", 0), ("torchrun", 1)])
def test_a_rank_killed_with_9_starts_the_run_again_and_nothing_differs(
    tmp_path, unbroken, launcher, rank
):
    run = Run(tmp_path / "run", launcher=launcher)
    run.until_saved(4 + 6 * rank)
    os.kill(run.worker(rank), signal.SIGKILL)
    assert run.code() == 0, run.said
    assert run.said.count("starting from") == 2
    assert_equal(run.run_dir, unbroken)


def test_sigterm_to_the_launcher_saves_and_the_same_command_goes_on(tmp_path, unbroken):
    run = Run(tmp_path / "run")
    run.until_saved(4)
    run.launcher.terminate()
    assert run.code() == 128 + signal.SIGTERM, run.said
    assert "stopped by SIGTERM and saved at step" in " ".join(run.said.split())
    assert 4 <= last_step(run.run_dir) < STEPS
    again = Run(tmp_path / "run")
    assert again.code() == 0, again.said
    assert_equal(run.run_dir, unbroken)


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1"])
def test_a_signal_to_the_launcher_or_to_all_processes_saves_and_leaves_nothing_behind(
    tmp_path, name
):
    run = Run(tmp_path / "run")
    run.until_saved(2)
    started = run.tree
    run.launcher.send_signal(signal.Signals[name])
    if name == "SIGUSR1":  # as scancel and SLURM do
        for process in started:
            process.send_signal(signal.SIGUSR1)
    assert run.code() == 128 + signal.Signals[name], run.said
    assert f"stopped by {name} and saved at step" in " ".join(run.said.split())
    assert_gone(started, run)
    assert left_in(run.temporary) == []


@pytest.mark.parametrize("launcher", ["wmt", "torchrun"])
def test_ranks_that_wait_for_each_other_end_when_their_launcher_is_killed_with_9(
    tmp_path, launcher
):
    run = Run(tmp_path / "run", launcher=launcher)
    run.until(lambda: len(run.ranks) == 2)
    ranks, late = run.ranks, psutil.Process(run.worker(1))
    # torchrun does not say who it is, so its death before a rank's first line tells nobody; torch
    # is imported after that
    run.until(lambda: any("libtorch" in each.path for each in late.memory_maps()))
    late.suspend()
    run.until(lambda: "starting from new weights" in run.said)
    run.launcher.kill()
    late.resume()
    assert_gone(ranks, run)
    assert last_step(run.run_dir) == 0


def test_ranks_that_train_save_and_leave_when_their_launcher_is_killed_with_9(tmp_path):
    run = Run(tmp_path / "run")
    run.until_saved(2)
    started = run.tree
    run.launcher.kill()
    assert_gone(started, run)
    assert "stopped by SIGTERM and saved at step" in " ".join(run.said.split())
    assert left_in(run.temporary) == []


def test_sigterm_to_torchrun_saves(tmp_path):
    run = Run(tmp_path / "run", launcher="torchrun")
    run.until_saved(4)
    run.launcher.terminate()
    assert run.code() != 0
    assert "stopped by SIGTERM and saved at step" in " ".join(run.said.split())
    assert 4 <= last_step(run.run_dir) < STEPS


def test_an_error_of_the_user_is_printed_once_and_starts_nothing_again(tmp_path):
    run = Run(tmp_path / "run", "train.strategy=single")
    assert run.code() == USER_ERROR
    assert run.said.count("wmt: train.strategy=single, but 2 processes were started") == 1
    assert "starting again" not in run.said
    assert "Traceback" not in run.said


def test_a_profile_is_of_the_first_rank_and_not_asked_for_again_when_a_rank_was_lost(tmp_path):
    run = Run(tmp_path / "run", "--profile", "3")
    run.until(lambda: list(run.run_dir.glob("profile/*.txt")))
    (trace,) = run.run_dir.glob("profile/*.json.gz")
    trace.unlink()
    os.kill(run.worker(1), signal.SIGKILL)
    assert run.code() == 0, run.said
    assert run.said.count("starting from") == 2
    assert not list(run.run_dir.glob("profile/*.json.gz"))


def test_a_run_that_never_gets_to_a_checkpoint_is_given_up(tmp_path):
    run = Run(tmp_path / "run", "checkpoint.every_steps=20", "--restarts", "1")
    for _ in range(2):
        before = run.said.count("step 1/")
        run.until(lambda before=before: run.said.count("step 1/") > before)
        os.kill(run.worker(1), signal.SIGKILL)
    assert run.code() == 128 + signal.SIGKILL
    assert "given up after 2 in a row without a new checkpoint" in " ".join(run.said.split())
