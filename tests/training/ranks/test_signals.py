import os
import signal

import pytest

from worldmodel_train.training.ranks.signals import StopSignals, children_left_alone

# Python 3.12 and later warn of forks beside threads; torch's loader forks as well
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_a_flag_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received == 0
        signal.raise_signal(number)
        assert signals.received == number
    assert signal.getsignal(number) is before


def test_the_first_signal_counts():
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGUSR1


def test_a_second_ctrl_c_ends_the_program():
    with StopSignals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def fork_and_signal() -> int:
    """Exit status of a child that sends itself all three signals and then leaves."""
    child = os.fork()
    if child == 0:
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        os._exit(7)
    return os.waitpid(child, 0)[1]


def test_a_loader_worker_outlives_the_signals_that_end_a_run():
    with StopSignals() as signals:
        with children_left_alone():
            status = fork_and_signal()
        assert os.waitstatus_to_exitcode(status) == 7
        assert signals.received == 0
        signal.raise_signal(signal.SIGTERM)  # the run itself hears them again
        assert signals.received == signal.SIGTERM


def test_other_children_die_of_signals_as_usual():
    with StopSignals():
        assert os.waitstatus_to_exitcode(fork_and_signal()) < 0
