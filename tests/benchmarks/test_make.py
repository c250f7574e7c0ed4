"""The commands of make's targets, printed and not run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _make(*words, target="bench"):
    outside = {"PATH": os.environ["PATH"]}  # without what `make test ARGS=...` hands down
    command = ["make", "-n", target, *words]
    return subprocess.run(
        command, cwd=ROOT, env=outside, capture_output=True, text=True, check=False
    )


def test_options_of_one_benchmark_are_not_given_to_all():
    found = _make("ARGS=--recipe vjepa2_vits")
    assert found.returncode == 2
    assert "add WHAT=step" in found.stderr


def test_one_benchmark_takes_options_with_quotes():
    found = _make("WHAT=loader", "ARGS=--shards 'a b'")
    assert found.returncode == 0, found.stderr
    assert "for what in loader" in found.stdout
    assert "--shards 'a b'" in found.stdout


def test_all_run_without_options():
    found = _make()
    assert found.returncode == 0, found.stderr
    assert "for what in kernels step loader memory" in found.stdout


@pytest.mark.parametrize("dry", [[], ["DRY=1"]])
def test_gpu_targets_run_on_a_gpu_or_are_tried_without_one(dry):
    tests, measured = _make(*dry, target="test-gpu"), _make(*dry, target="bench-gpu")
    assert "JAXTYPING_DISABLE=1 .venv/bin/python -m pytest -q -m gpu -W default" in tests.stdout
    assert ("--collect-only" in tests.stdout) == bool(dry)
    for benchmark in ("kernels", "step", "memory"):
        assert f"try {benchmark} " in measured.stdout
    assert ("--device cpu" if dry else "--device cuda") in measured.stdout
    assert ("--compile" in measured.stdout) != bool(dry)


def test_a_run_is_measured_by_its_recipe_or_by_one_task():
    assert "wmt eval runs/demo" in _make(target="eval").stdout
    assert "--task" not in _make(target="eval").stdout
    assert (
        "wmt eval runs/x  --task robustness"
        in _make("RUN=runs/x", "TASK=robustness", target="eval").stdout
    )
