"""Diving48, second version: `Diving48_V2_train.json` and `_test.json` beside `Diving48_vocab.json`.

The videos of the release are cut to one dive each, which `start_frame` and `end_frame` say once
more: they are packed whole.
"""

from dataclasses import replace
from pathlib import Path

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.list_files import beside, json_objects, json_value
from worldmodel_train.data.packing.listed import Library, Listed


def read(path: Path, root: Path) -> Listed:
    """The dives of one split; a class is the four parts of a dive, in the vocabulary's order."""
    rows = json_objects(path, {"vid_name": str, "label": int})
    vocabulary = beside(path, "Diving48_vocab.json")
    classes = _classes(vocabulary)
    library = Library(root)
    entries = []
    for row in rows:
        number = row["label"]
        assert isinstance(number, int), "json_objects has seen to it"
        if not 0 <= number < len(classes):
            raise PackError(
                f"{path}: label {number} of {row['vid_name']} is not in {vocabulary}, which has "
                f"{len(classes)} classes; get both files from one release"
            )
        video = library.entry(str(row["vid_name"]), ".mp4")
        entries.append(replace(video, label=classes[number]))
    return library.listed(entries, classes)


def _classes(path: Path) -> tuple[str, ...]:
    dives = json_value(path)
    if isinstance(dives, list) and all(isinstance(parts, list) for parts in dives):
        classes = tuple(" ".join(map(str, parts)) for parts in dives)
        if classes and all(classes) and len(set(classes)) == len(classes):
            return classes
    raise PackError(f"{path}: is not a list of dives, each a list of parts; get the file again")
