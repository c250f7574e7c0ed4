"""Signals that end a run: at once while it starts, after a save once it has trained a step.

While a run starts there is nothing to save, so the kernel ends the process where it stands: no
library can swallow that, and a rank that waits for others in C++ goes as well. From the first
step's end on a handler sets a flag. At the end of each optimizer step all ranks agree on it
(`checkpoints/saver.py`), so that all save the same step and leave together. Lightning's own
handlers are switched off (`quiet.py`): one broadcasts from inside and hangs when a rank is late.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Ctrl-C; kill and schedulers; SLURM before a time limit; a terminal that was lost."""

LAUNCHER = "WMT_LAUNCHER"
"""The variable that names the process id of `wmt pretrain --processes N` to its ranks."""

_SAVING = b"\nsaving after this step, then leaving; Ctrl-C again leaves at once\n"


def heard() -> list[signal.Signals]:
    """The signals that end a run: all, but for a SIGHUP that is ignored, as under `nohup`."""
    deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in SIGNALS if number != signal.SIGHUP or not deaf]


def end_at_once() -> None:
    """From now on, and until `StopSignals.catch`, a signal ends this process where it stands."""
    for number in heard():
        # the first process of a container gets no signal that it does not handle
        signal.signal(number, signal.SIG_DFL if os.getpid() != 1 else _leave)


@contextmanager
def children_left_alone() -> Iterator[None]:
    """Processes started inside never see the signals that end a run.

    SLURM and Ctrl-C signal every process of a job, loader workers too, and a run whose workers die
    cannot finish its step and save. Children inherit the blocked signals; they end when their
    parent tells them or is gone.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopSignals:
    """Remembers the first signal that comes after `catch`, until the block is left.

    A second Ctrl-C ends the program at once; one that a launcher passes on may come twice, and the
    launcher kills its ranks itself. Outside the main thread nothing is caught, because Python
    allows it nowhere else.
    """

    def __init__(self) -> None:
        self._received = 0
        self._owner = os.getpid()
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
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

    def catch(self) -> None:
        """From now on signals are remembered: there is something to save."""
        if not self._before and threading.current_thread() is threading.main_thread():
            for number in heard():
                self._before[number] = signal.signal(number, self._handle)

    @property
    def received(self) -> int:
        """The first signal that this process has received, 0 for none."""
        return self._received

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # a forked child that was not started by `children_left_alone`
            _die_of(number)
        elif self._received and number == signal.SIGINT:
            if LAUNCHER not in os.environ:
                _die_of(number)
        elif not self._received:
            self._received = number
            _say(_SAVING)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _die_of(number: int) -> None:
    """Ends this process by the signal, which no library can swallow."""
    end_at_once()
    os.kill(os.getpid(), number)


def _say(words: bytes) -> None:
    """Writes past Python's buffers, which a signal handler may not enter again."""
    try:
        os.write(2, words)
    except OSError:
        _forget_terminal()


def _forget_terminal() -> None:
    """Lets what is still said go nowhere: on a terminal that is gone it would be an error."""
    gone = os.fstat(2)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        if os.path.samestat(os.fstat(number), gone):
            os.dup2(nowhere, number)
    os.close(nowhere)
