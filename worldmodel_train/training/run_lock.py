"""One run at a time in a run's directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Holds `run_dir` for this process; the kernel lets go of it also after kill -9.

    A lock of the process and not of the open file: forked loader workers would inherit that one,
    and hold it for seconds after their parent was killed, while a launcher starts the run again.

    Raises:
        ValueError: Another process trains there: a second start, or a requeued job whose
            predecessor is still dying. Or `.lock` is no file of ours.
    """
    with _open(run_dir / ".lock") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX leaves open which
            raise ValueError(
                f"run_dir={run_dir} is in use by another process; wait for it, or use another "
                "run_dir"
            ) from None
        yield


def _open(path: Path) -> FileIO:
    """The file to lock; neither a link is followed nor a pipe waited for."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"{path} is not a file that a run has made; remove it")
    return FileIO(os.open(path, flags, 0o666), "rb+")
