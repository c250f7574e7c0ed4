"""What C libraries print while they decode: the only place where some of them admit errors."""

import os
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
    """Collects what is written to file descriptor 2; for processes that do one thing at a time."""
    log = NativeLog()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield log
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            file.seek(0)
            log.text = file.read(_KEPT).decode(errors="replace").strip()
