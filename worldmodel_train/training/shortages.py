"""One line instead of a stack trace where memory is short, or a loading process was killed.

PyTorch has no types for these errors but for a GPU's, so their words are looked for, here alone.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldmodel_train.training.clock import Clock

_LOST = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) "
    r"(?:is killed by signal: [\w ]+|exited unexpectedly)"
)
_NO_MEMORY = (
    "can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED", "Cannot allocate memory", "MemoryError",
)  # fmt: skip
_NO_SHARED = re.compile(
    r"unable to (?:resize file|allocate shared memory\(shm\) for file|mmap [\d]+ bytes from file) "
    r"</torch_[^\n]*"
)
_IN_WORKER = "in DataLoader worker process"
_LESS_LOADING = "use fewer data.loader.workers (0: none) or a smaller data.loader.prefetch"
_MORE_SHARED = (
    f"mount more (docker: --shm-size=8g or --ipc=host; kubernetes: an emptyDir with medium: Memory "
    f"at /dev/shm), or {_LESS_LOADING}"
)
_SMALLER = (
    "use a smaller train.micro_batch, train.activation_checkpointing=full, "
    "train.strategy=fsdp2 on more GPUs, or a smaller model; `wmt show --memory` computes what fits"
)


class LostWorkerError(ConnectionError):
    """A loading process was killed; the run can resume from its last checkpoint."""


class NoMemoryError(OSError):
    """Memory ran out where it had been enough before, or may be again."""


class TooLargeError(ValueError):
    """The model or its batch does not fit here, however often it is started."""


@contextmanager
def shortages_in_words(clock: "Clock") -> Iterator[None]:
    """Says in one line what was short, where an error inside tells of it.

    Raises:
        LostWorkerError: A loading process was killed.
        NoMemoryError: /dev/shm or a loading process's memory ran out, or this process's after
            steps that had fitted.
        TooLargeError: Memory ran out before the first step of this start had ended.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        shortage = shortage_of(error, has_trained=clock.usual_step is not None)
        if shortage is None:
            raise
        raise shortage from error


@contextmanager
def room_for_workers() -> Iterator[None]:
    """Says what is full where loading processes cannot be started."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NoMemoryError(f"/dev/shm is full: {_MORE_SHARED} [{error}]") from error


def shortage_of(error: Exception, *, has_trained: bool) -> Exception | None:
    """The error in words, None where it tells of something else."""
    text = f"{type(error).__name__}: {error}"
    if lost := _LOST.search(text):
        return _lost_worker(lost[0])
    if shared := _NO_SHARED.search(text):
        return NoMemoryError(f"/dev/shm is full: {_MORE_SHARED} [{shared[0]}]")
    short = next((line for line in text.splitlines() if any(m in line for m in _NO_MEMORY)), None)
    if short is None:
        return None
    short = short.strip()[:300]
    if _IN_WORKER in text:
        return NoMemoryError(f"a loading process has no memory left: {_LESS_LOADING} [{short}]")
    if has_trained:
        return NoMemoryError(f"memory ran out after steps that had fitted: {_SMALLER} [{short}]")
    return TooLargeError(f"the model and its batch do not fit in memory: {_SMALLER} [{short}]")


def _lost_worker(what: str) -> LostWorkerError:
    if "Bus error" in what:
        why, remedy = "/dev/shm is full", _MORE_SHARED
    else:
        why, remedy = "killed, mostly for memory", f"give the job more, or {_LESS_LOADING}"
    return LostWorkerError(
        f"a loading process was lost ({why}); the same command resumes from the last checkpoint; "
        f"if it happens again, {remedy} [{what}]"
    )
