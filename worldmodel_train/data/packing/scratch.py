"""Where a packing run keeps what is not finished yet, told from all that it did not make itself.

The folder has a random name, which is noted in the journal before it is made. What a killed run
left is found by that note alone, so nothing else is ever removed, whatever it is called.
"""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldmodel_train.data.atomic_file import write_atomically

NOTE = "scratch.txt"
_NAME = re.compile(r"scratch-[0-9a-f]{16}")


@contextmanager
def scratch_folder(journal: Path) -> Iterator[Path]:
    """A fresh folder inside the journal's, removed at the end; first those that the note names.

    The name is another each time: workers of a killed run may still write into the old one.
    """
    left = [name for name in _noted(journal) if not _removed(journal / name)]
    name = f"scratch-{secrets.token_hex(8)}"
    write_atomically(journal / NOTE, "".join(f"{line}\n" for line in (*left, name)).encode())
    scratch = journal / name
    scratch.mkdir()
    try:
        yield scratch
    finally:
        _removed(scratch)


def _noted(journal: Path) -> list[str]:
    try:
        lines = (journal / NOTE).read_bytes().decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if _NAME.fullmatch(line)]


def _removed(scratch: Path) -> bool:
    shutil.rmtree(scratch, ignore_errors=True)
    return not scratch.exists()
