"""Plain values, and where each of them was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

# Not recursive: the run-time checker of annotations cannot follow an alias into itself.
Value: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
KeyPath: TypeAlias = tuple[str | int, ...]


class FileLine(NamedTuple):
    """A line of a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Override(NamedTuple):
    """A `key=value` of the command line, as it was typed."""

    text: str

    def __str__(self) -> str:
        return f'override "{self.text}"'


Origin: TypeAlias = FileLine | Override


@dataclass(frozen=True, kw_only=True)
class Document:
    """A tree of values and the origin of each key path in it; the root's path is empty."""

    values: dict[str, Value]
    origins: Mapping[KeyPath, Origin] = field(default_factory=dict[KeyPath, Origin])

    def origin(self, path: KeyPath) -> Origin | None:
        """Where `path`, or the nearest thing around it, was written; None when nowhere."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None


def dotted(path: KeyPath) -> str:
    """The path as it is written in an override: `data.sources.0.weight`."""
    return ".".join(str(part) for part in path)
