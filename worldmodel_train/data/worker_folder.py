"""The folder of the sockets through which loading processes hand over their memory.

Left alone, each loading process makes one of its own, and leaves it behind when it is killed. So
the training process makes one for all; should it be killed itself, they remove it as they end.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import current_process, util
from typing import Any

_LONGEST = 75  # bytes; a socket's path has 107, and the names below the folder take 32


@contextmanager
def worker_folder() -> Iterator[None]:
    """Processes forked inside have their sockets in one folder, which is removed at the end."""
    place = tempfile.gettempdir()
    if len(os.fsencode(place)) > _LONGEST:
        place = "/tmp"  # a longer path would be an error in a thread, and a hang
    configuration = _configuration()
    before = configuration.get("tempdir")
    folder = configuration["tempdir"] = tempfile.mkdtemp(prefix="wmt_", dir=place)
    try:
        yield
    finally:
        configuration["tempdir"] = before
        shutil.rmtree(folder, ignore_errors=True)


def remove_folder_as_an_orphan() -> None:
    """Lets this loading process remove the folder as it ends, if its parent is gone by then."""
    folder = _configuration().get("tempdir")
    if folder is not None:
        util.Finalize(None, _remove, args=(folder, os.getppid()), exitpriority=-100)


def _remove(folder: str, parent: int) -> None:
    if os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)


def _configuration() -> dict[str, Any]:
    """What a process hands to those that it forks."""
    return current_process()._config  # type: ignore[attr-defined]  # noqa: SLF001  # no public way
