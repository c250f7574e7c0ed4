"""The list of a published set, by the name of the file that reads it."""

import importlib
import pkgutil
from pathlib import Path

from worldmodel_train.data.packing import lists
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.listed import Listed


def list_names() -> list[str]:
    """The sets whose lists can be read: `lists/<name>.py` reads one."""
    return sorted(module.name for module in pkgutil.iter_modules(lists.__path__))


def read_list(name: str, source: str, root: Path | None) -> Listed:
    """The samples and classes of the list `source`, with videos below `root` (default: its folder).

    Raises:
        PackError: No such set, or the list is not one of this set, or names no videos.
    """
    if name not in list_names():
        raise PackError(f"--list {name}: not a set; use {', '.join(list_names())}")
    path = Path(source)
    if not path.is_file():
        raise PackError(
            f"{source}: no such file; --list {name} reads an annotation file of the set"
        )
    reader = importlib.import_module(f"{lists.__name__}.{name}")
    listed = reader.read(path, root or path.parent)
    if not any(entry.left_out is None for entry in listed.entries):
        raise PackError(f"{source}: names no videos; is it an annotation file of {name}?")
    return listed
