"""The lists that V-JEPA's code trains on: a path and the number of a class in each line.

They stand apart by a space, or by `::` where paths have spaces that are not in quotes. The numbers
are all that is known of the classes, and are their names here.
"""

import csv
from pathlib import Path

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.list_files import text_lines, whole
from worldmodel_train.data.packing.listed import Listed

_MOST_CLASSES = 1 << 20


def read(path: Path, root: Path) -> Listed:
    """The videos of a list; classes are the numbers from 0 to its largest."""
    entries: list[Entry] = []
    largest = -1
    for number, line in enumerate(text_lines(path), start=1):
        place = f"{path}: line {number}"
        source, label = _cells(line, place)
        largest = max(largest, whole(label, f"{place}: label"))
        if largest >= _MOST_CLASSES:
            raise PackError(f"{place}: label={largest} is no number of a class; name another list")
        entries.append(
            Entry(source=source, path=root / source, name=Path(source).stem, label=str(int(label)))
        )
    return Listed(entries=entries, classes=tuple(str(n) for n in range(largest + 1)))


def _cells(line: str, place: str) -> list[str]:
    apart = line.split("::") if "::" in line else next(csv.reader([line], delimiter=" "))
    cells = [cell.strip() for cell in apart]
    if len(cells) != 2 or not cells[0]:
        raise PackError(
            f"{place}: is not a path and a number with a space between them; "
            "put a path with spaces in quotes"
        )
    return cells
