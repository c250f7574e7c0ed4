"""Runs of the demo as programs, with a launcher or without one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

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

# also where pytest runs under nohup
HEARS = ("env", "--default-signal=HUP")


STARTED: list[subprocess.Popen] = []


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
    deadline = time.monotonic() + 60
    while alive := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            for process in alive:
                process.kill()
            raise AssertionError(run.said)
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    """Not so once it has ended, though nobody may have fetched how: its parent may be dead."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def left_in(folder: Path) -> list[str]:
    """Folders of ours, and of Python's multiprocessing."""
    return [path.name for path in folder.iterdir() if path.name.startswith(("wmt_", "pymp-"))]


def last_step(run_dir: Path) -> int:
    pointer = run_dir / "checkpoints" / "last"
    return int(pointer.read_text().strip().removeprefix("step_")) if pointer.exists() else 0
