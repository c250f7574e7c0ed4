"""A run that is killed, requeued and continued on fewer tasks, and two that nothing disturbs.

    python benchmarks/scaling_trial_slurm.py runs/scaling_trial
    python benchmarks/scaling_trial.py runs/scaling_trial

The demo, submitted as a user would to a SLURM of two nodes that this starts on this machine (as the
tests do: root, Debian's slurm-wlm and munge). The folder then holds the three runs and events.json.
"""

import argparse
import importlib.util
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Protocol

from scaling_trial import Event

ROOT = Path(__file__).parents[1]
STEPS, KILLED_AT, REQUEUED_AT, FEWER_AT = 200, 70, 110, 150
PATIENCE_S = 1200.0
ZERO_2 = "train.strategy={name: deepspeed, zero_stage: 2}"
RECIPE = (
    "demo", f"train.steps={STEPS}", "data.loader.workers=1",
    "checkpoint.every_steps=20", "log.every_steps=1", "log.image_every=null", "evaluation=null",
)  # fmt: skip


class Cluster(Protocol):
    """What is used here of the tests' SLURM."""

    def submit(self, *arguments: object) -> str:
        """The number of a new job, queued by sbatch."""
        ...

    def call(self, *command: object) -> str:
        """What a command says."""
        ...

    def send(self, number: str, rank: int, signal_number: signal.Signals) -> None:
        """Sends a signal to the process that trains as that rank of a job."""
        ...

    def wait(self, number: str, timeout_s: float) -> str:
        """The state that a job ended in."""
        ...

    def wait_until(
        self, condition: Callable[[], bool], timeout_s: float, explain: Callable[[], str]
    ) -> bool:
        """Returns once that is true."""
        ...


class Run:
    """A run directory and the jobs that fill it."""

    def __init__(self, cluster: Cluster, directory: Path, micro_batch: int) -> None:
        self.cluster = cluster
        self.directory = directory
        self.micro_batch = micro_batch
        self.job = ""

    def submit(self, tasks: int, *overrides: str) -> None:
        """Queues a job of one task a node."""
        self.job = self.cluster.submit(
            f"--nodes={tasks}", "--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1",
            f"--output={self.directory}-%j.out", "slurm/pretrain.sbatch", *RECIPE, *overrides,
            f"train.micro_batch={self.micro_batch}", f"run_dir={self.directory}",
        )  # fmt: skip
        say(f"job {self.job}: {self.directory.name} on {tasks} tasks")

    def log(self) -> str:
        """What the script and the first rank of this job said."""
        path = Path(f"{self.directory}-{self.job}.out")
        return path.read_text() if path.exists() else ""

    def step(self) -> int:
        """The last step of the metrics, 0 before the first."""
        path = self.directory / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return json.loads(lines[-1])["step"] if lines else 0

    def reach(self, step: int) -> None:
        """Waits until that step has been taken."""
        self.cluster.wait_until(lambda: self.step() >= step, PATIENCE_S, self.log)

    def wait(self) -> str:
        """The state that the job ended in."""
        return self.cluster.wait(self.job, PATIENCE_S)

    def finish(self) -> None:
        """Waits for the last step and the end of the job."""
        state = self.wait()
        if (state, self.step()) != ("COMPLETED", STEPS):
            raise RuntimeError(f"{self.directory} ended {state} at {self.step()}: {self.log()}")

    def stopped_by(self, what: str, cause: Callable[[], object], start: int) -> Event:
        """Causes an end of this start and waits for the first step after it."""
        begin = time.monotonic()
        cause()
        self.cluster.wait_until(lambda: f"start {start}:" in self.log(), PATIENCE_S, self.log)
        started, step, cut = time.monotonic(), self.step(), self._metrics_file()
        # the next start replaces the file by one that ends with the checkpoint's step
        self.cluster.wait_until(lambda: self._metrics_file() != cut, PATIENCE_S, self.log)
        resumed = int(self.log().rsplit("going on from step_")[-1].split(";")[0])
        self.reach(resumed + 1)
        event = Event(
            what=what, step=step, resumed=resumed, until_start_s=round(started - begin, 2),
            until_step_s=round(time.monotonic() - begin, 2),
        )  # fmt: skip
        say(str(event))
        return event

    def _metrics_file(self) -> int:
        return (self.directory / "metrics.jsonl").stat().st_ino


def main() -> None:
    """Fills the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--micro-batch", type=int, default=16)
    arguments = parser.parse_args()
    folder, micro_batch = arguments.folder.resolve(), arguments.micro_batch
    if folder.exists():
        raise SystemExit(f"{folder} is there already; name a new folder")
    folder.mkdir(parents=True)
    slurm = load_cluster()
    with tempfile.TemporaryDirectory() as files, slurm.local_slurm(Path(files)) as cluster:
        undisturbed(Run(cluster, folder / "one_process", micro_batch), 1, "train.strategy=single")
        undisturbed(Run(cluster, folder / "two_tasks", micro_batch), 2, ZERO_2)
        events = disturbed(Run(cluster, folder / "disturbed", micro_batch))
    write_events(folder, events)


def load_cluster() -> ModuleType:
    """The tests' own SLURM."""
    spec = importlib.util.spec_from_file_location("slurm", ROOT / "tests/slurm/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def undisturbed(run: Run, tasks: int, strategy: str) -> None:
    """A run from its first to its last step."""
    run.submit(tasks, strategy)
    run.finish()


def disturbed(run: Run) -> list[Event]:
    """A run that is killed, requeued, and stopped to go on with one task instead of two."""
    run.submit(2, ZERO_2)
    run.reach(KILLED_AT)
    kill = lambda: run.cluster.send(run.job, 1, signal.SIGKILL)  # noqa: E731
    events = [run.stopped_by("kill -9 of task 1", kill, start=2)]
    run.reach(REQUEUED_AT)
    requeue = lambda: run.cluster.call("scontrol", "requeue", run.job)  # noqa: E731
    events += [run.stopped_by("scontrol requeue", requeue, start=3)]
    run.reach(FEWER_AT)
    events += [run.stopped_by("2 tasks to 1", lambda: fewer_tasks(run), start=1)]
    run.finish()
    return events


def fewer_tasks(run: Run) -> None:
    """Ends the job as it saves, and queues another with one task."""
    run.cluster.call("scancel", "--signal=TERM", run.job)
    run.wait()
    run.submit(1, ZERO_2)


def write_events(folder: Path, events: Sequence[Event]) -> None:
    """What happened, for benchmarks/scaling_trial.py."""
    (folder / "events.json").write_text(json.dumps([asdict(one) for one in events], indent=2))


def say(line: str) -> None:
    """One line with the time."""
    sys.stderr.write(f"{time.strftime('%T')} {line}\n")


if __name__ == "__main__":
    main()
