"""What C libraries print while they decode: the only place where some of them admit errors."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_STDERR = 2
_KEPT = 4096  # bytes


@dataclass
class NativeLog:
    """The text written to file descriptor 2; complete once recording has ended."""

    text: str = ""


@contextmanager
def recording() -> Iterator[NativeLog]:
    """Collects what is written to file descriptor 2; for processes that do one thing at a time.

    Where that is a file which can be read it stays one: if this process is about to crash, whoever
    reads the file must find why.
    """
    log = NativeLog()
    with _stderr_in_file() as file:
        begin = os.lseek(file, 0, os.SEEK_CUR)
        try:
            yield log
        finally:
            log.text = os.pread(file, _KEPT, begin).decode(errors="replace").strip()


@contextmanager
def _stderr_in_file() -> Iterator[int]:
    """The descriptor of a file that takes what is written to file descriptor 2."""
    mode = fcntl.fcntl(_STDERR, fcntl.F_GETFL) & os.O_ACCMODE
    if stat.S_ISREG(os.fstat(_STDERR).st_mode) and mode == os.O_RDWR:
        yield _STDERR
        return
    with tempfile.TemporaryFile() as file:
        saved = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield file.fileno()
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
