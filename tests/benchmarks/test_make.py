"""`make bench`, printed and not run."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _make(*words):
    return subprocess.run(
        ["make", "-n", "bench", *words], cwd=ROOT, capture_output=True, text=True, check=False
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
