"""Small files that may have been damaged or replaced, read without waiting and within bounds."""

import os
import stat
from pathlib import Path


class PlainFileError(ValueError):
    """What should be a file of ours is something else; the message begins with its path."""


def read_plain(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        PlainFileError: It is a folder, a pipe or a device, or larger.
        OSError: It is not there, or cannot be read.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PlainFileError(f"{path} is a pipe or a device, not a file")
            content = file.read(most + 1)
    except IsADirectoryError:
        raise PlainFileError(f"{path} is a folder, not a file") from None
    if len(content) > most:
        raise PlainFileError(f"{path} has {status.st_size:,} bytes; more than {most:,} cannot be")
    return content


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
