"""What a launcher does with signals, without a run."""

import signal
import subprocess
import sys

import psutil
import pytest

from worldmodel_train.cli import launch

RANK = """
import signal
signal.signal(signal.SIGINT, lambda number, frame: print(number, flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def rank(monkeypatch):
    """A process that says each SIGINT that it hears, and goes on."""
    with subprocess.Popen([sys.executable, "-c", RANK], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        known = psutil.Process(process.pid)
        monkeypatch.setattr(psutil.Process, "children", lambda launcher: [known])
        yield process
        process.kill()


def test_ranks_are_told_again_and_again_and_a_second_ctrl_c_kills_them(rank, monkeypatch):
    monkeypatch.setattr(launch, "_AGAIN", 0.05)
    with launch._PassedOn() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.first == signal.SIGINT
        assert [rank.stdout.readline() for _ in range(3)] == [b"2\n"] * 3
        signal.raise_signal(signal.SIGINT)
        assert rank.wait() == -signal.SIGKILL


def test_a_second_signal_of_another_kind_changes_nothing(rank):
    with launch._PassedOn() as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert signals.first == signal.SIGINT
        assert rank.stdout.readline() == b"2\n"
        assert rank.poll() is None


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)]
    with launch._PassedOn():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)] == before
