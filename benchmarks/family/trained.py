"""Runs of the family's recipes, each by `wmt pretrain` in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.family.scores import COST, Cost, FamilyRun
from worldmodel_train.recipe_document import recipe_names

ASKED = "asked.json"
TASKS = "[{name: film_questions}, {name: energy}, {name: held_out_loss}]"


def family() -> list[str]:
    """The recipes that train on the films, in alphabetical order."""
    return sorted(name for name in recipe_names() if name.endswith("_films"))


def train(recipe: str, seed: int, runs: Path, overrides: Sequence[str]) -> FamilyRun:
    """The finished run of a recipe; one that is there is taken as it is.

    Raises:
        SystemExit: Training ended with an error, which it has printed; or the run that is there
            is another, or unfinished.
    """
    run_dir = runs / f"{recipe}_seed{seed}"
    run = FamilyRun(recipe=recipe, seed=seed, run_dir=run_dir)
    if (run_dir / COST).exists():
        _require_the_same(run_dir, overrides)
        return run
    if run_dir.exists():
        raise SystemExit(
            f"{run_dir} was begun and not finished, and what it cost is not known; remove it"
        )
    asked = [f"evaluation={TASKS}", f"train.seed={seed}", f"run_dir={run_dir}", *overrides]
    command = [sys.executable, "-m", "worldmodel_train", "pretrain", recipe, *asked]
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{recipe} with seed {seed} ended with exit code {process.returncode}")
    cost = Cost(cpu_seconds=used.ru_utime + used.ru_stime, peak_bytes=1024 * used.ru_maxrss)
    (run_dir / ASKED).write_text(json.dumps(list(overrides)))
    (run_dir / COST).write_text(json.dumps(cost._asdict()))
    return run


def _require_the_same(run_dir: Path, overrides: Sequence[str]) -> None:
    """Raises SystemExit where a finished run was asked for otherwise."""
    asked = json.loads((run_dir / ASKED).read_text())
    if asked != list(overrides):
        raise SystemExit(
            f"{run_dir} was trained with {asked or 'no overrides'}, not with "
            f"{list(overrides) or 'none'}; remove it, or name another folder by --runs"
        )
