"""What a process that reads strangers' videos may take, and how long it may live."""

import ctypes
import resource
import signal
import sys
from pathlib import Path

OUT_OF_MEMORY = "out_of_memory"
"""Why a video is left out that needs more than a process may take."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_MIB = 1 << 20


def end_with_parent() -> None:
    """Lets the kernel kill this process when the thread that started it ends, however it ends.

    A library that hangs with the interpreter's lock in its hands would notice nothing. Elsewhere
    than on Linux there is no such thing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_memory(mebibytes: int) -> None:
    """Makes allocations fail that need `mebibytes` more than this process has now.

    Counted is what only this process can write: neither libraries nor memory shared with others,
    nor address space that is only reserved. Elsewhere than on Linux nothing is limited.
    """
    if sys.platform == "linux":
        _lower(resource.RLIMIT_DATA, _data_bytes() + mebibytes * _MIB)


def limit_files(num_bytes: int) -> None:
    """Makes writes fail that would grow a file past `num_bytes`."""
    _lower(resource.RLIMIT_FSIZE, num_bytes)


def _lower(kind: int, limit: int) -> None:
    """Sets a limit, unless the shell or the scheduler has set a lower one: none can be raised."""
    before = (most for most in resource.getrlimit(kind) if most != resource.RLIM_INFINITY)
    limit = min((limit, *before))
    resource.setrlimit(kind, (limit, limit))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) << 10
