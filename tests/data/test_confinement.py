import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has these limits")

CONFINED = """
import mmap
from worldmodel_train.data.confinement import limit_files, limit_memory
limit_memory(64)
"""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", CONFINED + code], capture_output=True, text=True, check=False
    )


def test_memory_past_the_limit_is_refused():
    assert "MemoryError" in run("bytearray(80 << 20)").stderr


def test_memory_within_the_limit_is_given_whatever_was_there_before():
    assert run("bytearray(40 << 20)").returncode == 0


def test_memory_shared_with_others_is_not_counted():
    assert run("mmap.mmap(-1, 80 << 20)").returncode == 0


def test_files_stay_small_and_the_process_lives(tmp_path):
    code = f"limit_files(1000)\nopen({str(tmp_path / 'log')!r}, 'wb', 0).write(bytes(5000))"
    assert run(code).returncode == 0
    assert (tmp_path / "log").stat().st_size == 1000


def test_a_lower_limit_of_the_shell_stays():
    code = """
import resource
for limit, kind, set_it in (
    (9000, resource.RLIMIT_FSIZE, limit_files), (60 << 20, resource.RLIMIT_DATA, limit_memory)
):
    resource.setrlimit(kind, (limit, limit))
    set_it(10_000)
    assert resource.getrlimit(kind) == (limit, limit)
"""
    outcome = run(code)
    assert outcome.returncode == 0, outcome.stderr
