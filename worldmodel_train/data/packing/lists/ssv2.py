"""Something-Something v2: `train.json` and `validation.json`, with `labels.json` beside them.

A video's class is its template without the brackets. Older copies of the files are named
something-something-v2-*.json.
"""

from dataclasses import replace
from pathlib import Path

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.list_files import beside, json_objects, json_value
from worldmodel_train.data.packing.listed import Library, Listed


def read(path: Path, root: Path) -> Listed:
    """The videos of one split; the classes are in the order of their numbers."""
    rows = json_objects(path, {"id": str, "template": str})
    numbers = beside(path, "labels.json", "something-something-v2-labels.json")
    classes = _classes(numbers)
    library, known = Library(root), set(classes)
    entries = []
    for row in rows:
        label = str(row["template"]).replace("[", "").replace("]", "")
        if label not in known:
            raise PackError(
                f"{path}: the template {row['template']!r} of video {row['id']} is no class of "
                f"{numbers}; get both files from one release"
            )
        entries.append(replace(library.entry(str(row["id"]), ".webm"), label=label))
    return library.listed(entries, classes)


def _classes(path: Path) -> tuple[str, ...]:
    numbers = json_value(path)
    if isinstance(numbers, dict):
        ordered = sorted(numbers, key=lambda name: (len(str(numbers[name])), str(numbers[name])))
        if [str(numbers[name]) for name in ordered] == [str(n) for n in range(len(ordered))]:
            return tuple(ordered)
    raise PackError(
        f"{path}: is not an object of classes and their numbers from 0; get the file again"
    )
