import os
import subprocess
import sys
import textwrap

import pytest

from worldmodel_train.training.run_lock import run_lock

# Python 3.12 and later warn of forks beside threads; torch's loader forks as well
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

TAKE = """
    import sys
    from pathlib import Path
    from worldmodel_train.training.run_lock import run_lock

    with run_lock(Path(sys.argv[1])):
        pass
"""


def take(run_dir) -> str:
    """What another process that wants to train there is told; nothing if it may."""
    program = [sys.executable, "-c", textwrap.dedent(TAKE), str(run_dir)]
    return subprocess.run(program, capture_output=True, text=True, check=False).stderr


def test_a_run_dir_is_held_by_one_process_at_a_time(tmp_path):
    with run_lock(tmp_path):
        assert "in use by another process" in take(tmp_path)
    assert take(tmp_path) == ""


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_lock_file_is_left_as_it_is(tmp_path, kind):
    precious, lock = tmp_path / "precious", tmp_path / ".lock"
    precious.write_text("text")
    if kind == "link":
        lock.symlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(ValueError, match=r"\.lock is not a file .* remove it"), run_lock(tmp_path):
        pass
    assert precious.read_text() == "text"


def test_children_that_outlive_a_killed_run_do_not_hold_its_directory(tmp_path):
    """A parent that locks, forks a child that stays, and dies without a word."""
    ready, release = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        with run_lock(tmp_path):
            if os.fork() == 0:
                os.close(release[1])
                os.write(ready[1], b".")
                os.read(release[0], 1)  # until the test lets go
                os._exit(0)
            os.read(ready[0], 1)
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == 9
    assert take(tmp_path) == ""
    os.close(release[1])
