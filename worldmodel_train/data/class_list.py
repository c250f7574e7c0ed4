"""A list of classes in a text file."""

from collections import Counter
from os.path import expandvars
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

_LARGEST_LIST = 1 << 24  # bytes; a million names


def read_classes(path: str) -> tuple[str, ...]:
    """The names in a text file, one a line; raises ValueError where it is none.

    `$DATA/classes.txt` is looked up below what the environment says.
    """
    try:
        with Path(expandvars(path)).expanduser().open("rb") as file:
            content = file.read(_LARGEST_LIST + 1)
        if len(content) > _LARGEST_LIST:
            raise ValueError(f"classes={path} is larger than any list of names; name another file")
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        unset = " (is the environment variable set?)" if "$" in expandvars(path) else ""
        raise ValueError(
            f"classes={path} cannot be read ({error}){unset}; name a text file with one class a "
            "line, or write the list here"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def require_distinct(classes: tuple[str, ...] | None) -> None:
    """Raises ValueError where a list of classes is empty, or a name is, or stands twice."""
    if classes is not None and not all(classes):
        raise ValueError('a class is named ""; give each a name')
    twice = [name for name, times in Counter(classes or ()).items() if times > 1]
    if twice:
        raise ValueError(f"two classes are named '{twice[0]}'; name each once")
    if classes == ():
        raise ValueError("there are no classes; name some, or write null to read no labels")


def _names_of(classes: object) -> object:
    """The list, read where a file is named: what is stored of a run needs no such file."""
    if isinstance(classes, str):
        return read_classes(classes)
    # pydantic no longer knows here that a list came from JSON, which has no tuples
    return tuple(classes) if isinstance(classes, list) else classes


ClassNames: TypeAlias = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_names_of, json_schema_input_type=tuple[str, ...] | str | None),
]
"""Names of classes, written out or in a text file with one a line."""
