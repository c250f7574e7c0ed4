import os
import signal

import pytest

from worldmodel_train.training.signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_sets_a_flag_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.agreed() == 0
        signal.raise_signal(number)
        assert signals.agreed() == number
    assert signal.getsignal(number) is before


def test_the_first_signal_counts():
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert signals.agreed() == signal.SIGUSR1


def test_a_second_ctrl_c_ends_the_program():
    with StopSignals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_forked_worker_outlives_ctrl_c_and_dies_of_sigterm():
    with StopSignals():
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
