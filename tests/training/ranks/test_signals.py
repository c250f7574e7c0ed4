import os
import signal
import subprocess
import sys

import pytest

from worldmodel_train.training.ranks.signals import (
    LAUNCHER,
    SIGNALS,
    StopSignals,
    children_left_alone,
)

# Python 3.12 and later warn of forks beside threads; torch's loader forks as well
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _outside_of_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def signals():
    with StopSignals() as entered:
        entered.catch()
        yield entered


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_a_flag_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signal.getsignal(number) is before
        signals.catch()
        assert signals.received == 0
        signal.raise_signal(number)
        assert signals.received == number
    assert signal.getsignal(number) is before


def test_the_first_signal_counts_and_is_answered_once_however_often_it_comes(signals, capfd):
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGUSR1)
    assert signals.received == signal.SIGUSR1
    assert capfd.readouterr().err.count("saving after this step") == 1


def test_a_hangup_that_is_ignored_as_under_nohup_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopSignals() as signals:
        signals.catch()
        signal.raise_signal(signal.SIGHUP)
        assert signals.received == 0


def fork_and_interrupt_twice() -> int:
    """Exit status of a child that swallows what Python can swallow, and then leaves."""
    child = os.fork()
    if child == 0:
        with StopSignals() as signals:
            signals.catch()
            try:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            finally:
                os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_second_ctrl_c_ends_the_program_and_no_library_can_swallow_it():
    assert fork_and_interrupt_twice() == -signal.SIGINT


def test_a_rank_that_hears_a_passed_on_ctrl_c_twice_still_saves(monkeypatch):
    monkeypatch.setenv(LAUNCHER, "1")
    assert fork_and_interrupt_twice() == 7


SWALLOWS = """
import os, signal
from worldmodel_train.training.ranks.signals import end_at_once
end_at_once()
try:
    os.kill(os.getpid(), signal.{name})
except BaseException:
    pass
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_before_training_a_signal_ends_the_program_though_libraries_swallow_errors(number):
    program = SWALLOWS.format(name=number.name)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -number


def fork_and_signal() -> int:
    """Exit status of a child that sends itself all signals and then leaves."""
    child = os.fork()
    if child == 0:
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        os._exit(7)
    return os.waitpid(child, 0)[1]


def test_a_loader_worker_outlives_the_signals_that_end_a_run(signals):
    with children_left_alone():
        status = fork_and_signal()
    assert os.waitstatus_to_exitcode(status) == 7
    assert signals.received == 0
    signal.raise_signal(signal.SIGTERM)  # the run itself hears them again
    assert signals.received == signal.SIGTERM


@pytest.mark.usefixtures("signals")
def test_other_children_die_of_signals_as_usual():
    assert os.waitstatus_to_exitcode(fork_and_signal()) < 0
