"""A signal ends a run also where the step that it should save after waits for data in vain."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from worldmodel_train.training.ranks.signals import StopSignals

logger = logging.getLogger(__name__)

_MORE_PATIENCE = 10.0  # seconds that data may still take to come after the signal
_LOOK_EVERY = 1.0


class LeftWaitingError(SystemExit):
    """Ends the process as the signal asks for, between two batches."""


@contextmanager
def leaving_when_told(signals: StopSignals) -> Iterator[None]:
    """Raises LeftWaitingError inside, some seconds after a signal that ends the run.

    Outside the main thread nothing happens, because Python runs handlers nowhere else.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    looks = 0

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal looks
        looks += bool(signals.received)
        if looks * _LOOK_EVERY > _MORE_PATIENCE:
            logger.warning("told to leave, and no data comes for the step that is begun")
            raise LeftWaitingError(128 + signals.received)

    before = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY, _LOOK_EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)
