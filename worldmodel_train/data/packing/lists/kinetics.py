"""Kinetics-400, -600 and -700: `train.csv` and `val.csv` of the release.

Columns: label, youtube_id, time_start, time_end, and others. The videos are the cut clips, named
<youtube_id>_<start>_<end> with six digits each, side by side or in a folder for each class.
"""

from dataclasses import replace
from pathlib import Path

from worldmodel_train.data.packing.list_files import csv_rows, whole
from worldmodel_train.data.packing.listed import Library, Listed


def read(path: Path, root: Path) -> Listed:
    """The clips of one split; the classes are its labels in the order of the alphabet."""
    rows = csv_rows(path, ("label", "youtube_id", "time_start", "time_end"))
    library = Library(root)
    entries = [
        replace(library.entry(_stem(row, f"{path}: row {n}"), ".mp4"), label=row["label"].strip())
        for n, row in enumerate(rows, start=1)
    ]
    return library.listed(entries, tuple(sorted({row["label"].strip() for row in rows})))


def _stem(row: dict[str, str], place: str) -> str:
    times = (f"{whole(row[t].strip(), f'{place}: {t}'):06d}" for t in ("time_start", "time_end"))
    return "_".join((row["youtube_id"].strip(), *times))
