"""Kills a run on two processes again and again.

`python -m tests.training.killed_run RUN_DIR KILLS SEED`

Every start is a fork of this program, which has imported everything: it then takes a moment, and
the kills can be many. Prints one JSON line for each kill.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deepspeed  # noqa: F401  # imported before the forks
import torch

from tests.training import torchrun, toy_run
from worldmodel_train.training.checkpoints import writer
from worldmodel_train.training.checkpoints.files import write_tensors
from worldmodel_train.training.guard import GuardConfig
from worldmodel_train.training.run import pretrain
from worldmodel_train.training.strategies.strategy import choose_runtime  # noqa: F401  # before forks

OPTIONS = {
    "steps": 150,
    "micro_batch": 2,
    "save_every": 1,
    "strategy": {"name": "deepspeed", "zero_stage": 1},
    "timeout_s": 20.0,
    "guard": GuardConfig(collapse="warn"),  # its memory is part of what must not be lost
}


def start(run_dir: Path) -> list[int]:
    """The process ids of two ranks."""
    return [fork(run_dir, place) for place in torchrun.places(2)]


def fork(run_dir: Path, place: dict[str, str]) -> int:
    """The process id of a rank that trains as torchrun would have started it."""
    child = os.fork()
    if child:
        return child
    os.environ.update(place)
    if place["RANK"] == "1":
        writer.write_tensors = slowly
    code = 1
    try:
        code = pretrain(toy_run.toy_parts(run_dir, **OPTIONS)).exit_code
    finally:
        # a fork must not run the parent's exit handlers
        sys.stderr.flush()
        os._exit(code)


def slowly(folder: Path, files: Mapping[str, Any]) -> dict[str, Any]:
    """Writes as a slow disk would: longer than a step, so that saves meet the next one."""
    time.sleep(random.uniform(0.0, 0.1))
    return write_tensors(folder, files)


def finish(ranks: list[int]) -> list[int]:
    """Exit codes; a rank that has lost the other one ends by itself."""
    return [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]


def last(run_dir: Path) -> str:
    """What the pointer says."""
    pointer = run_dir / "checkpoints" / "last"
    return pointer.read_text().strip() if pointer.exists() else ""


def kill_once(run_dir: Path, chance: random.Random) -> dict[str, object]:
    """Starts, waits until the run has saved something new, and kills at a random instant."""
    before, ranks = last(run_dir), start(run_dir)
    while last(run_dir) == before:
        time.sleep(0.002)
    time.sleep(chance.uniform(0.0, 0.15))
    for victim in chance.choice([ranks[:1], ranks[1:], ranks]):
        os.kill(victim, signal.SIGKILL)
    writing = any((run_dir / "checkpoints").glob(".writing-step_*"))
    return {"before": before, "after": last(run_dir), "writing": writing, "codes": finish(ranks)}


def main() -> None:
    """Kills as often as asked, then lets the run end; without kills it is never interrupted."""
    run_dir, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    for _ in range(kills):
        print(json.dumps(kill_once(run_dir, chance)), flush=True)  # noqa: T201  # its output
    sys.exit(max(finish(start(run_dir))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
