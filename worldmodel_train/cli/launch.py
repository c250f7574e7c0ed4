"""Starts the processes of a run on this machine, and again from the last checkpoint if one is lost.

Uses torchrun's own agent for a single start. Its restarts are not used: it would repeat an error of
the user as often as a lost process, and counts restarts over weeks as if they came in a row.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from worldmodel_train.cli.exit_codes import USER_ERROR
from worldmodel_train.training.checkpoints.folder import CheckpointFolder

logger = logging.getLogger(__name__)

# they say in stack traces what one line says below
_CHATTY = (
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
)
_SAVING = 600  # seconds that the processes have to save and leave after a signal
_STOPPED = tuple(128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))


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
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    folder, losses = CheckpointFolder(run_dir), 0
    more = ("--resume", what.resume, *what.once)
    while True:
        before = folder.last()
        code, cause = _start((*what.arguments, *more), what.processes)
        if code in (0, USER_ERROR, *_STOPPED):
            return code
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
    with TemporaryDirectory(prefix="wmt_") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="wmt",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # a free port
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            shutdown_timeout=_SAVING,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "worldmodel_train", *arguments)
        except SignalException as error:
            return 128 + error.sigval, "stopped"
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
