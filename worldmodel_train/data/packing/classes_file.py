"""`classes.txt`: the classes of a set, one a line, as `data.classes` of a recipe reads them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError

CLASSES_FILE = "classes.txt"


def labels_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """All labels that entries have, in the order of the alphabet; none that is no line of text."""
    labels = {entry.label for entry in entries if entry.label is not None and not entry.left_out}
    return tuple(sorted(label for label in labels if _is_line(label)))


def require_room(out: Path, classes: Sequence[str]) -> None:
    """Raises PackError where `out` has other classes, which would be written over."""
    path = out / CLASSES_FILE
    if classes and path.exists() and path.read_bytes() != _content(classes):
        raise PackError(f"{path}: holds other classes than this set has; move it away")


def write_classes(out: Path, classes: Sequence[str]) -> None:
    """Write them, if there are any."""
    if classes:
        write_atomically(out / CLASSES_FILE, _content(classes))


def _content(classes: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in classes).encode()


def _is_line(label: str) -> bool:
    """Whether a label can be told from a line of text: of folders there are names that cannot."""
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return label.splitlines() == [label.strip()]
