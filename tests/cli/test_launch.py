"""`wmt pretrain --processes 2` and torchrun: a lost process, signals, and errors of the user."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from worldmodel_train.cli.exit_codes import FAILED, TRY_AGAIN, USER_ERROR
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

# also where pytest runs under nohup
HEARS = ("env", "--default-signal=HUP")


STARTED: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    while STARTED:
        launcher = STARTED.pop()
        launcher.kill()  # its ranks end with it
        launcher.wait()


class Run:
    """Trains the demo with a tiny model: a launcher on two processes, or `alone` one process."""

    def __init__(self, run_dir: Path, *more: str, launcher: str = "wmt") -> None:
        self.run_dir = run_dir
        self._log = run_dir.with_suffix(".log")
        self.temporary = run_dir.with_suffix(".tmp")
        self.temporary.mkdir(exist_ok=True)
        demo = ("pretrain", "demo", *TINY, f"run_dir={run_dir}", *more)
        command = {
            "torchrun": (*TORCHRUN, *demo),
            "wmt": (*WMT, *demo, "--processes", "2"),
            "alone": (*WMT, *demo),
        }[launcher]
        environment = os.environ | {
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.temporary),
        }
        with self._log.open("a") as log:
            self.launcher = subprocess.Popen(
                (*HEARS, *command), env=environment, stderr=log, stdout=log
            )
        STARTED.append(self.launcher)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def code(self) -> int:
        return self.launcher.wait(timeout=200)

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 200
        while not holds():
            assert self.launcher.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def until_saved(self, step: int) -> None:
        self.until(lambda: last_step(self.run_dir) >= step)

    @property
    def ranks(self) -> list[psutil.Process]:
        """Of a process that trains alone: its loading processes."""
        return psutil.Process(self.launcher.pid).children()

    @property
    def tree(self) -> list[psutil.Process]:
        """All that the launcher has started: ranks, loading processes, decoders."""
        return psutil.Process(self.launcher.pid).children(recursive=True)

    def worker(self, rank: int) -> int:
        """The process id of a rank."""
        [worker] = [one.pid for one in self.ranks if one.environ().get("RANK") == str(rank)]
        return worker


def assert_gone(processes: list[psutil.Process], run: Run) -> None:
    """All of them end, by themselves."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    for process in alive:
        process.kill()
    assert not alive, run.said


def left_in(folder: Path) -> list[str]:
    """Folders of ours, and of Python's multiprocessing."""
    return [path.name for path in folder.iterdir() if path.name.startswith(("wmt_", "pymp-"))]


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


@pytest.mark.parametrize(("launcher", "rank"), [("wmt", 0), ("wmt", 1), ("torchrun", 1)])
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


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1", "SIGHUP"])
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


def in_maps(process: int, library: str) -> bool:
    return library in Path(f"/proc/{process}/maps").read_text()


def decodes(run: Run) -> bool:
    return any("worldmodel_train.data.decoding.decode_child" in p.cmdline() for p in run.tree)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("SIGINT", lambda run: in_maps(run.launcher.pid, "libtorch_cpu")),  # imports have begun
        ("SIGHUP", lambda run: "starting from new weights" in run.said),
        ("SIGTERM", lambda run: run.tree),  # a loading process was started
        ("SIGINT", decodes),
    ],
)
def test_a_signal_at_any_moment_of_the_start_ends_the_run_at_once(tmp_path, name, moment):
    run = Run(tmp_path / "run", "train.steps=4000", launcher="alone")
    run.until(lambda: moment(run))
    started = run.tree
    run.launcher.send_signal(signal.Signals[name])
    assert run.code() == -signal.Signals[name]
    assert_gone(started, run)
    assert "step 2/" not in run.said
    assert left_in(run.temporary) == []


def test_a_lost_terminal_ends_a_run_after_a_save(tmp_path):
    process, terminal = pty.fork()
    run_dir = tmp_path / "run"
    if process == 0:
        command = (
            *HEARS,
            *WMT,
            "pretrain",
            "demo",
            *TINY,
            "train.steps=4000",
            f"run_dir={run_dir}",
        )
        os.execvp(command[0], command)
    while last_step(run_dir) < 2:
        os.read(terminal, 65536)  # what it shows; fails where it has ended
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert last_step(run_dir) == int(json.loads(metrics(run_dir)[-1])["step"])


def metrics(run_dir: Path) -> list[str]:
    return (run_dir / "metrics.jsonl").read_text().splitlines()


def test_a_killed_loading_process_is_one_line_and_worth_another_start(tmp_path):
    run = Run(tmp_path / "run", launcher="alone")
    run.until_saved(2)
    started = run.tree
    [loader] = run.ranks
    loader.kill()
    assert run.code() == TRY_AGAIN, run.said
    assert_gone(started, run)
    said = " ".join(run.said.split())
    assert "a loading process was lost (killed, mostly for memory); the same command" in said
    assert f"DataLoader worker (pid {loader.pid}) is killed by signal: Killed" in said
    assert "Traceback" not in said
    assert left_in(run.temporary) == []


def test_full_shared_memory_is_one_line_with_the_remedy(tmp_path):
    """A limit on files stands for the size of /dev/shm, as it meets the same call."""
    run_dir = tmp_path / "run"
    ended = subprocess.run(
        ("prlimit", "--fsize=100000", *WMT, "pretrain", "demo", *TINY, f"run_dir={run_dir}"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == FAILED, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("wmt: /dev/shm is full: mount more (docker: --shm-size=8g")
    assert "data.loader.workers" in last
    assert "Traceback" not in ended.stderr
