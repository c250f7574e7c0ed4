import signal
import time

import pytest

from worldmodel_train.training.ranks import told_to_leave
from worldmodel_train.training.ranks.signals import StopSignals
from worldmodel_train.training.ranks.told_to_leave import LeftWaitingError, leaving_when_told


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(told_to_leave, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr(told_to_leave, "_MORE_PATIENCE", 0.02)


class Told(StopSignals):
    """Has received this signal."""

    def __init__(self, number):
        super().__init__()
        self._received = number


def test_a_wait_ends_some_looks_after_the_signal():
    with pytest.raises(LeftWaitingError) as left, leaving_when_told(Told(signal.SIGUSR1)):
        time.sleep(60)
    assert left.value.code == 138


def test_without_a_signal_a_wait_may_take_as_long_as_it_takes():
    waited = False
    with leaving_when_told(Told(0)):
        time.sleep(0.1)
        waited = True
    assert waited


def test_the_alarm_and_its_handler_are_as_before():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 100.0)
    try:
        with leaving_when_told(Told(0)):
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100.0
        signal.raise_signal(signal.SIGALRM)
        assert heard == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)
