"""One run at a time in a run's directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Holds `run_dir` for this process; the kernel lets go of it also after kill -9.

    Raises:
        ValueError: Another process trains there: a second start, or a requeued job whose
            predecessor is still dying.
    """
    with (run_dir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"run_dir={run_dir} is in use by another process; wait for it, or use another "
                "run_dir"
            ) from None
        yield
