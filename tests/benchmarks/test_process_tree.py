import os
import subprocess
import sys

from benchmarks.process_tree import cpu_seconds, descendants


def test_time_of_a_childs_child_counts():
    burn = "import time\nwhile time.process_time() < .4: pass\nprint('done', flush=True); input()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    others = set(descendants())
    with subprocess.Popen(
        [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        taken = cpu_seconds([one for one in descendants() if one not in others])
        child.communicate(b"\n")
    assert child.pid in taken
    assert os.getpid() not in taken
    assert sum(taken.values()) > 0.35


def test_a_process_that_has_ended_is_left_out():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert cpu_seconds([child.pid]) == {}
