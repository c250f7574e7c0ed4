"""One line instead of a stack trace where another rank is lost, or a collective times out.

NCCL's watchdog ends the process itself (SIGABRT) when a collective times out; then this line is
missing, and the launcher says which rank ended first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldmodel_train.training.ranks.signals import StopSignals
    from worldmodel_train.training.run_context import RunContext

# gloo raises plain RuntimeErrors
_GLOO = ("gloo/transport/", "Application timeout caused pair closure")


class LostContactError(ConnectionError):
    """Another rank has ended or does not answer; the run can resume from its last checkpoint."""

    def __init__(self, message: str, signals: "StopSignals | None" = None) -> None:
        super().__init__(message)
        self._signals = signals

    @property
    def told_to_leave(self) -> bool:
        """Whether a signal came as well: then a launcher knows already, and can say more."""
        return self._signals is not None and self._signals.received != 0


@contextmanager
def contact_with_others(rank: int, run_dir: Path, context: "RunContext") -> Iterator[None]:
    """Says where the run was when a collective inside fails.

    Raises:
        LostContactError: In place of the errors of torch.distributed.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_lost_contact(error):
            raise
        complaint = _complaint(error, rank, run_dir, context)
        raise LostContactError(complaint, context.signals) from error


def is_lost_contact(error: RuntimeError) -> bool:
    """Whether the error comes from torch.distributed and tells of other ranks."""
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or any(mark in str(error) for mark in _GLOO)


def _complaint(error: RuntimeError, rank: int, run_dir: Path, context: "RunContext") -> str:
    from worldmodel_train.models.strict_state import CheckpointError
    from worldmodel_train.training.checkpoints.folder import CheckpointFolder
    from worldmodel_train.training.ranks.stall_notes import DOING

    try:
        last = CheckpointFolder(run_dir).last()
        where = f"the last checkpoint is {last}" if last else "there is no checkpoint yet"
    except (CheckpointError, OSError) as problem:
        where = f"the last checkpoint cannot be read ({problem})"
    return (
        f"rank {rank} ended: lost contact with another rank after step {context.clock.step}, "
        f"{DOING[context.clock.phase.activity]}; {where}, and the same command resumes. The rank "
        f"that ended first says why in its log, unless it was killed (memory? node?); one that is "
        f"only slow needs a longer train.timeout_s. [{first_sentence(error)}]"
    )


def first_sentence(error: RuntimeError) -> str:
    """Of what torch.distributed says, without the path in PyTorch's build."""
    return str(error).splitlines()[0].rsplit("] ", 1)[-1].split(". ", 1)[0]
