"""Annotation files of published sets: rows of a CSV, a JSON, lines of a text."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO, TypeVar

from worldmodel_train.config.json_text import JsonError, parse_json
from worldmodel_train.data.packing.errors import PackError

_T = TypeVar("_T")


def csv_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV whose first line names at least these columns, each with text in them."""

    def read(file: TextIO) -> list[dict[str, str]]:
        reader = csv.DictReader(file, restkey="more cells than the header has")
        has = reader.fieldnames or ()
        if missing := [name for name in columns if name not in has]:
            raise PackError(
                f"{path}: has no column {missing[0]!r} (its first line is {', '.join(has)!r}); "
                "name the file as it was published, with its header"
            )
        rows = list(reader)
        for number, row in enumerate(rows, start=1):
            if empty := [name for name in columns if not (row[name] or "").strip()]:
                raise PackError(
                    f"{path}: row {number} has nothing in column {empty[0]!r}; get the file again"
                )
        return rows

    try:
        return _read(path, read)
    except csv.Error as error:
        raise PackError(f"{path}: is not valid CSV ({error}); get the file again") from None


def text_lines(path: Path) -> list[str]:
    """The lines of a text file that hold anything."""
    return [line.strip() for line in _read(path, list) if line.strip()]


def json_objects(path: Path, keys: Mapping[str, type]) -> list[dict[str, object]]:
    """The objects of a JSON list, each with a value of its type at every one of the keys."""
    rows = json_value(path)
    if not isinstance(rows, list):
        raise PackError(f"{path}: is not a JSON list; name the list of videos as it was published")
    objects: list[dict[str, object]] = []
    for number, row in enumerate(rows, start=1):
        values: dict[str, object] = dict(row) if isinstance(row, dict) else {}
        for key, kind in keys.items():
            # True is an int to Python, and no number of a class
            if type(values.get(key)) is not kind:
                name = {str: "text", int: "a whole number"}[kind]
                raise PackError(
                    f"{path}: entry {number} has no {key!r} that is {name}; name a list of "
                    "training or validation as it was published (those for tests have no labels)"
                )
        objects.append(values)
    return objects


def json_value(path: Path) -> object:
    """What a JSON file holds."""
    try:
        return parse_json(_read(path, lambda file: file.read()), path)
    except JsonError as error:
        raise PackError(f"{error}; get the file again") from None


def beside(path: Path, *names: str) -> Path:
    """The first of these files in the folder of `path`; PackError where there is none of them."""
    for name in names:
        if (path.parent / name).is_file():
            return path.parent / name
    raise PackError(f"{path.parent}: has no {' or '.join(names)}; put it there, beside {path.name}")


def whole(text: str, place: str) -> int:
    """A number of 0 or more; PackError, which begins with `place`, where it is none."""
    if not (text.isascii() and text.isdecimal()):
        raise PackError(f"{place}={text!r} is not a whole number; get the file again")
    return int(text)


def _read(path: Path, read: Callable[[TextIO], _T]) -> _T:
    """What `read` makes of the open file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read(file)
    except UnicodeDecodeError as error:
        raise PackError(f"{path}: is not UTF-8 text ({error.reason}); get the file again") from None
    except OSError as error:
        raise PackError(f"{path}: cannot be read ({error.strerror}); name a list") from None
