"""`wmt pretrain --processes 2` and torchrun: a lost process, signals, and errors of the user."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from worldmodel_train.cli.exit_codes import USER_ERROR
from worldmodel_train.training.checkpoints.reader import read_weights

STEPS = 24
TINY = (
    f"train.steps={STEPS}", "train.global_batch=8", "train.micro_batch=4",
    "optim.lr.warmup_steps=2", "data.loader.workers=1", "log.every_steps=1",
    "log.image_every=null", "checkpoint.every_steps=2", "evaluation=null",
    "method.encoder.size={width: 32, depth: 1, heads: 2}", "method.predictor.width=32",
)  # fmt: skip
WMT = (sys.executable, "-m", "worldmodel_train")
TORCHRUN = (
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
    "--max-restarts=3", "-m", "worldmodel_train",
)  # fmt: skip

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


class Run:
    """A launcher that trains the demo with a tiny model on two processes."""

    def __init__(self, run_dir: Path, *more: str, launcher: str = "wmt") -> None:
        self.run_dir = run_dir
        self._log = run_dir.with_suffix(".log")
        demo = ("pretrain", "demo", *TINY, f"run_dir={run_dir}", *more)
        torchrun = launcher == "torchrun"
        command = (*TORCHRUN, *demo) if torchrun else (*WMT, *demo, "--processes", "2")
        environment = os.environ | {
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            "OMP_NUM_THREADS": "1",
        }
        with self._log.open("a") as log:
            self.launcher = subprocess.Popen(command, env=environment, stderr=log, stdout=log)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def code(self) -> int:
        return self.launcher.wait(timeout=200)

    def until_saved(self, step: int) -> None:
        deadline = time.monotonic() + 100
        while last_step(self.run_dir) < step:
            assert self.launcher.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def worker(self, rank: int) -> int:
        """The process id of a rank."""
        mine = f"RANK={rank}".encode()
        [worker] = [
            process
            for process in children(self.launcher.pid)
            if mine in Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        ]
        return worker


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def last_step(run_dir: Path) -> int:
    pointer = run_dir / "checkpoints" / "last"
    return int(pointer.read_text().strip().removeprefix("step_")) if pointer.exists() else 0


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


@pytest.mark.parametrize("launcher", ["wmt", "torchrun"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_killed_with_9_starts_the_run_again_and_nothing_differs(
    tmp_path, unbroken, launcher, rank
):
    run = Run(tmp_path / "run", launcher=launcher)
    run.until_saved(4 + 6 * rank)
    os.kill(run.worker(rank), signal.SIGKILL)
    assert run.code() == 0, run.said
    assert run.said.count("starting from") == 2
    assert_equal(run.run_dir, unbroken)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_launcher_saves_and_the_same_command_goes_on(tmp_path, unbroken, name):
    run = Run(tmp_path / "run")
    run.until_saved(4)
    run.launcher.send_signal(signal.Signals[name])
    assert run.code() == 128 + signal.Signals[name], run.said
    assert f"stopped by {name} and saved at step" in " ".join(run.said.split())
    assert 4 <= last_step(run.run_dir) < STEPS
    again = Run(tmp_path / "run")
    assert again.code() == 0, again.said
    assert_equal(run.run_dir, unbroken)


def test_sigterm_to_torchrun_saves_and_the_same_command_goes_on(tmp_path, unbroken):
    run = Run(tmp_path / "run", launcher="torchrun")
    run.until_saved(4)
    run.launcher.terminate()
    assert run.code() != 0
    assert "stopped by SIGTERM and saved at step" in " ".join(run.said.split())
    again = Run(tmp_path / "run", launcher="torchrun")
    assert again.code() == 0, again.said
    assert_equal(run.run_dir, unbroken)


def test_an_error_of_the_user_is_printed_once_and_starts_nothing_again(tmp_path):
    run = Run(tmp_path / "run", "train.strategy=single")
    assert run.code() == USER_ERROR
    assert run.said.count("wmt: train.strategy=single, but 2 processes were started") == 1
    assert "starting again" not in run.said
    assert "Traceback" not in run.said


def test_a_profile_is_of_the_first_rank_and_not_asked_for_again_when_a_rank_was_lost(tmp_path):
    run = Run(tmp_path / "run", "--profile", "3")
    deadline = time.monotonic() + 100
    while not list(run.run_dir.glob("profile/*.txt")):
        assert run.launcher.poll() is None, run.said
        assert time.monotonic() < deadline, run.said
        time.sleep(0.02)
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
        while run.said.count("step 1/") == before:
            assert run.launcher.poll() is None, run.said
            time.sleep(0.02)
        os.kill(run.worker(1), signal.SIGKILL)
    assert run.code() == 128 + signal.SIGKILL
    assert "given up after 2 in a row without a new checkpoint" in " ".join(run.said.split())
