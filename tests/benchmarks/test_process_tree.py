import subprocess
import sys

from benchmarks.process_tree import cpu_seconds_of_tree


def test_time_of_a_childs_child_counts():
    burn = "import time\nwhile time.process_time() < .4: pass\nprint('done', flush=True); input()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    before = cpu_seconds_of_tree()
    with subprocess.Popen(
        [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        taken = cpu_seconds_of_tree() - before
        child.communicate(b"\n")
    assert taken > 0.35
