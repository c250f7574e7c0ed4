"""Starts the processes of a run on this machine, and again from the last checkpoint if one is lost.

Uses torchrun's own agent for a single start. Its restarts are not used: it would repeat an error of
the user as often as a lost process, and counts restarts over weeks as if they came in a row. Nor
are its signal handlers: they raise an error at any line, and a second signal would end the agent
while it waits for ranks that save.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from worldmodel_train.cli.exit_codes import USER_ERROR
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.ranks.signals import LAUNCHER, SIGNALS, heard

logger = logging.getLogger(__name__)

# they say in stack traces what one line says below
_CHATTY = (
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
)
_AGAIN = 1.0  # seconds after which ranks are told again
_STOPPED = tuple(128 + number for number in SIGNALS)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to start on how many processes, and how many losses to bear."""

    arguments: Sequence[str]
    """Of `wmt`, but for --resume."""
    once: Sequence[str]
    """Further ones, for the first start alone."""
    resume: str
    processes: int
    restarts: int
    """Losses in a row without a new checkpoint after which the run is given up."""


def launch(what: Launch, run_dir: Path) -> int:
    """The exit code of the run; what the user can fix and signals to leave end it at once."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ValueError("--processes starts processes itself; leave it out under torchrun")
    cores = os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // what.processes)))
    os.environ[LAUNCHER] = str(os.getpid())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _PassedOn() as signals:
        return _start_until_it_ends(what, CheckpointFolder(run_dir), signals)


def _start_until_it_ends(what: Launch, folder: CheckpointFolder, signals: "_PassedOn") -> int:
    losses, more = 0, ("--resume", what.resume, *what.once)
    while True:
        before = folder.last()
        code, cause = _start((*what.arguments, *more), what.processes)
        if code in (0, USER_ERROR, *_STOPPED):
            return code
        if signals.first:
            return 128 + signals.first
        losses = 1 if folder.last() != before else losses + 1
        if losses > what.restarts:
            logger.error("%s; given up after %d in a row without a new checkpoint", cause, losses)
            return code
        logger.warning(
            "%s; starting again from %s (%d of %d)",
            cause, folder.last() or "the beginning", losses, what.restarts,
        )  # fmt: skip
        more = ("--resume", "auto")


def _start(arguments: Sequence[str], processes: int) -> tuple[int, str]:
    """How the processes ended: the exit code that tells most, and what the first one died of."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="wmt",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # a free port
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),  # else a folder, left behind by kill -9
        signals_to_handle="SIGQUIT",  # ends all at once; `_PassedOn` handles the others
    )
    try:
        elastic_launch(config, sys.executable)("-m", "worldmodel_train", *arguments)
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        return _failure(error)
    return 0, "finished"


def _failure(error: ChildFailedError) -> tuple[int, str]:
    codes = {failure.exitcode for failure in error.failures.values()}
    for code in (USER_ERROR, *_STOPPED):
        if code in codes:
            return code, "stopped"
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        return 128 - failure.exitcode, f"rank {rank} was killed by {failure.signal_name()}"
    return failure.exitcode, f"rank {rank} ended with exit code {failure.exitcode}"


class _PassedOn:
    """Passes a signal on to the ranks while it is entered; this process then waits for them.

    They are told again and again: one may have started only since, and those that know do not
    mind. A second Ctrl-C kills them.
    """

    def __init__(self) -> None:
        self.first = 0
        """The first signal that came, 0 for none."""
        self._before: dict[int, object] = {}

    def __enter__(self) -> "_PassedOn":
        for number in heard():
            self._before[number] = signal.signal(number, self._handle)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._tell_again)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]  # what it gave

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.first and number == signal.SIGINT:
            _signal_ranks(signal.SIGKILL)
            return
        if not self.first:
            self.first = number
            signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        _signal_ranks(self.first)

    def _tell_again(self, number: int, frame: FrameType | None) -> None:
        _signal_ranks(self.first)


def _signal_ranks(number: int) -> None:
    """Signals the processes that this one has started, without those that they have started."""
    for rank in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            rank.send_signal(number)
