"""kill -9 at any instant of a save, on two processes under ZeRO, loses nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder

PROGRAM = ("-m", "tests.training.killed_run")
KILLS = 10


def run(run_dir: Path, kills: int) -> list[dict]:
    ended = subprocess.run(
        [sys.executable, *PROGRAM, str(run_dir), str(kills), "0"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


@pytest.mark.distributed
@pytest.mark.timeout(1000)
def test_ten_kills_while_saving_leave_a_run_that_goes_on_exactly(
    tmp_path, losses, weights, assert_same
):
    run(tmp_path / "one", kills=0)
    kills = run(tmp_path / "other", kills=KILLS)
    assert len(kills) == KILLS
    # each start went on from a checkpoint, and got further
    assert all(kill["after"] > kill["before"] for kill in kills)
    assert all(0 not in kill["codes"] for kill in kills)
    # saves are so frequent here that many kills interrupt one
    assert sum(kill["writing"] for kill in kills) >= KILLS // 4
    assert losses(tmp_path / "one") == losses(tmp_path / "other")
    assert_same(weights(tmp_path / "one"), weights(tmp_path / "other"))
    one, other = (read_meta(CheckpointFolder(tmp_path / name).last()) for name in ("one", "other"))
    assert one.watch["recent"]["loss"]
    assert one.watch == other.watch
