import errno
import sys
import textwrap

import pytest

from worldmodel_train.data.packing.pool import Lost, WorkerPool

TASKS = """
import os, signal, time

def act(payload, beat):
    if payload == "hang":
        time.sleep(1000)
    if payload == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if payload == "full":
        raise OSError(28, "No space left on device", "/disk/file")
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


def test_a_hung_and_a_crashed_worker_cost_only_their_own_payload(act):
    with WorkerPool(act, 2, 1.5) as pool:
        results = list(pool.map_in_order(["a", "hang", "b", "crash", "slow", "c"], ahead=4))
    assert [r for r in results if not isinstance(r, Lost)] == ["a", "b", "slow", "c"]
    assert (results[1].reason, results[3].reason) == ("timeout", "crashed")
    assert "exit code -11" in results[3].detail


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
