"""Signals that end a run after a save.

A handler only sets a flag. At the end of each optimizer step all ranks agree on it
(`checkpoints/saver.py`), so that all save the same step and leave together. Lightning's own
handlers are switched off (`quiet.py`): one broadcasts from inside and hangs when a rank is late.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def children_left_alone() -> Iterator[None]:
    """Processes started inside never see the signals that end a run.

    SLURM and Ctrl-C signal every process of a job, loader workers too, and a run whose workers die
    cannot finish its step and save. Children inherit the blocked signals; they end when their
    parent tells them or is gone.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopSignals:
    """Remembers the first of SIGINT, SIGTERM and SIGUSR1 while it is entered.

    A second Ctrl-C ends the program at once. Outside the main thread nothing is caught, because
    Python allows it nowhere else.
    """

    def __init__(self) -> None:
        self._received = 0
        self._owner = os.getpid()
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None: a handler that was not installed from Python, which Python cannot put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]  # typed by the standard library as a private union
        self._before.clear()

    @property
    def received(self) -> int:
        """The first signal that this process has received, 0 for none."""
        return self._received

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # a forked child that was not started by `children_left_alone`
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            self._received = self._received or number
            # written past Python's buffers, which a signal handler may not enter again
            os.write(2, b"\nsaving after this step, then leaving; Ctrl-C again leaves at once\n")
