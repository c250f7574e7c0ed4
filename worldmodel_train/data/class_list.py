"""A list of classes in a text file."""

from os.path import expandvars
from pathlib import Path

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
