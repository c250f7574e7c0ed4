import errno
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from worldmodel_train.data.packing.pool import Lost, WorkerPool

TASKS = """
import os, signal, time

time.sleep(float(os.environ.get("SLOW_IMPORT_S", 0)))

def act(payload, beat):
    if payload == "hang":
        time.sleep(1000)
    if payload == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if payload == "full":
        raise OSError(28, "No space left on device", "/disk/file")
    if payload == "endless":
        while True:
            time.sleep(0.02)
            beat()
    if payload == "large":
        bytearray(300 << 20)
    if payload == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if payload == "slow":
        for _ in range(20):
            time.sleep(0.1)
            beat()
    if payload == "late":
        time.sleep(0.2)
    return payload
"""


@pytest.fixture
def act(tmp_path, monkeypatch):
    """A task that worker processes can import."""
    (tmp_path / "pool_tasks.py").write_text(textwrap.dedent(TASKS))
    monkeypatch.syspath_prepend(tmp_path)
    import pool_tasks

    yield pool_tasks.act
    del sys.modules["pool_tasks"]


def test_results_come_in_the_order_of_the_payloads(act):
    payloads = ["late", "a", "b", "late", *map(str, range(20))]
    with WorkerPool(act, 2, 30.0) as pool:
        assert list(pool.map_in_order(iter(payloads), ahead=3)) == payloads


@pytest.mark.slow
def test_a_hung_and_a_crashed_worker_cost_only_their_own_payload(act):
    with WorkerPool(act, 2, 1.5) as pool:
        results = list(pool.map_in_order(["a", "hang", "b", "crash", "slow", "c"], ahead=4))
    assert [r for r in results if not isinstance(r, Lost)] == ["a", "b", "slow", "c"]
    assert (results[1].reason, results[3].reason) == ("timeout", "crashed")
    assert "exit code -11" in results[3].detail


def test_a_worker_that_is_killed_while_it_is_idle_costs_nothing(act):
    with WorkerPool(act, 1, 30.0) as pool:
        for _ in range(2):
            assert list(pool.map_in_order(["a"], ahead=1)) == ["a"]
            pool._workers[0].process.kill()
            pool._workers[0].process.join()


def test_a_worker_that_is_slow_to_start_loses_nothing(act, monkeypatch):
    monkeypatch.setenv("SLOW_IMPORT_S", "0.8")
    with WorkerPool(act, 1, 0.4, total_s=0.4) as pool:
        assert list(pool.map_in_order(["a"], ahead=1)) == ["a"]


def test_progress_without_end_costs_only_its_own_payload(act):
    with WorkerPool(act, 1, 30.0, total_s=0.5) as pool:
        results = list(pool.map_in_order(["a", "endless", "b"], ahead=4))
    assert (results[0], results[1].reason, results[2]) == ("a", "slow", "b")
    assert "not done after 0.5 s" in results[1].detail


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_payload_that_needs_more_memory_than_a_worker_may_take_is_lost_alone(act):
    with WorkerPool(act, 1, 30.0, memory_mb=200) as pool:
        results = list(pool.map_in_order(["large", "a", "killed", "b"], ahead=4))
    assert [r if isinstance(r, str) else r.reason for r in results] == [
        "out_of_memory", "a", "out_of_memory", "b"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of such a death")
def test_a_worker_at_work_ends_with_its_killed_parent(act):
    code = (
        "import os, pool_tasks, time\n"
        "from worldmodel_train.data.packing.pool import WorkerPool\n"
        "if __name__ == '__main__':\n"
        "    with WorkerPool(pool_tasks.act, 1, 30.0) as pool:\n"
        "        pool._send(pool._idle(), 0, 'hang')\n"
        "        print(pool._workers[0].process.pid, flush=True)\n"
        "        while pool._workers[0].begun.value > time.monotonic():\n"
        "            time.sleep(0.01)\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    folder = str(Path(sys.modules["pool_tasks"].__file__).parent)
    parent = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"},
    )
    worker = int(parent.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()


def test_no_payload_begins_too_far_ahead(act):
    begun = []

    def payloads():
        for i in range(10):
            begun.append(i)
            yield str(i)

    with WorkerPool(act, 2, 30.0) as pool:
        for taken, _ in enumerate(pool.map_in_order(payloads(), ahead=3)):
            assert max(begun) <= taken + 3


def test_a_full_disk_in_a_worker_stops_the_run(act):
    with WorkerPool(act, 1, 30.0) as pool, pytest.raises(OSError, match="No space") as error:
        list(pool.map_in_order(["a", "full", "b"], ahead=4))
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, "/disk/file")
