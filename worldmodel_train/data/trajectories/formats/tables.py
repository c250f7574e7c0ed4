"""Files that hold arrays by name: which of them are an episode's, and where each episode lies."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import DISK_ERRORS, PackError
from worldmodel_train.data.trajectories.formats.recording import (
    Recording,
    Rows,
    episode_of_rows,
    in_floats,
)
from worldmodel_train.data.trajectories.verdict import BadEpisode

OBSERVATIONS = ("observations", "observation", "frames", "images", "pixels")
ACTIONS = ("actions", "action")
STATES = ("states", "state")
REWARDS = ("rewards", "reward")
DONES = ("ends", "dones")
BOUNDARIES = ("terminals", "timeouts")
"""Of arrays in which all episodes lie behind each other: each ends where one of these is true."""
TASKS = ("language", "task")
_NUMBERS = "buif"  # kinds of dtype
_MOST_NAMED = 12
_OF_FILES = (
    *(OSError, ValueError, RuntimeError, LookupError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


@runtime_checkable
class Column(Protocol):
    """An array, or one that is read where it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes."""
        ...

    @property
    def dtype(self) -> Any:  # noqa: ANN401 - numpy's, of whatever kind
        """Of its numbers."""
        ...

    def __getitem__(self, rows: Any, /) -> Any: ...  # noqa: ANN401 - as arrays are indexed


Table = Mapping[str, Column]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an episode lies: in all of an array, in some rows, or in one of its first axis."""

    rows: slice | None = None
    number: int | None = None

    def of(self, column: Column) -> Shaped[np.ndarray, "..."]:
        """The episode's part of a column."""
        if self.number is None:
            return np.asarray(column[() if self.rows is None else self.rows])
        if not column.shape or column.shape[0] <= self.number:
            raise BadEpisode("length_mismatch", f"{column.shape} has no episode {self.number}")
        return np.asarray(column[self.number])


def places(table: Table) -> list[Place]:
    """Of each episode of a table; raises BadEpisode where there are no actions."""
    actions = _column(table, _first(table, ACTIONS) or ACTIONS[0])
    if len(actions.shape) == 3:
        return [Place(number=number) for number in range(actions.shape[0])]
    marks = [np.asarray(table[name][()]) > 0 for name in BOUNDARIES if name in table]
    if not marks:
        return [Place()]
    length = actions.shape[0] if actions.shape else 0
    if any(mark.shape != (length,) for mark in marks):
        shapes = ", ".join(str(mark.shape) for mark in marks)
        raise BadEpisode("length_mismatch", f"terminals of shape {shapes} beside {length} actions")
    stops = np.union1d(np.flatnonzero(np.logical_or.reduce(marks)) + 1, [length]).tolist()
    starts = [0, *stops[:-1]]
    return [Place(rows=slice(start, stop)) for start, stop in zip(starts, stops, strict=True)]


def recording(table: Table, place: Place, source: str, arguments: EpisodeArguments) -> Recording:
    """The episode at a place; raises BadEpisode or BadArraysError."""
    observed = _observed(table, arguments.camera)
    states = _states(table, arguments.states)
    rows = Rows(
        actions=place.of(_column(table, _first(table, ACTIONS) or ACTIONS[0])),
        observations=place.of(_column(table, observed)),
        states=in_floats([place.of(_column(table, name)) for name in states]) if states else None,
        rewards=_optional(table, _first(table, REWARDS), place),
        dones=_optional(table, _dones(table), place),
        next_observations=_optional(table, _next(table, observed), place),
        next_states=_next_states(table, states, place),
    )
    return Recording(episode=episode_of_rows(rows, _metadata(table, place, source, arguments)))


def files_of(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files below a folder that end so, in order, or the file itself; PackError for none."""
    wanted = tuple(suffixes)
    found = [root] if root.is_file() else sorted(root.rglob("*"))
    files = [path for path in found if path.suffix.lower() in wanted and path.is_file()]
    visible = [path for path in files if not path.name.startswith(".")]
    if not visible:
        raise PackError(f"{root}: holds no {' or '.join(wanted)}; name the folder of the episodes")
    return visible


def table_entries(root: Path, path: Path, parts: Sequence[str] | BadEpisode) -> Iterator[Entry]:
    """One for each part of a file; one that is left out where the file cannot be read."""
    name = path.name if path == root else path.relative_to(root).as_posix()
    if isinstance(parts, BadEpisode):
        verdict = (parts.reason, parts.detail)
        yield Entry(source=name, path=Path(name), left_out=verdict)
        return
    for part in parts:
        if not part:
            yield Entry(source=name, path=Path(name))
            continue
        source = f"{name}#{part}"
        yield Entry(source=source, path=Path(source), name=f"{path.stem} {part}")


def split_source(source: str, suffixes: Iterable[str]) -> tuple[str, str]:
    """The file and the part that an entry's `source` names; no part where the file is one."""
    if Path(source).suffix.lower() in tuple(suffixes):
        return source, ""
    name, _, part = source.rpartition("#")
    return name, part


def in_order(names: Iterable[str]) -> list[str]:
    """By the numbers in them, so that 10 comes after 9."""
    return sorted(names, key=lambda name: ([int(n) for n in re.findall(r"\d+", name)], name))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What is wrong with a file becomes BadEpisode."""
    try:
        yield
    except _OF_FILES as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        reason = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        lines = str(error).splitlines() or [type(error).__name__]
        raise BadEpisode(reason, f"{path.name}: {lines[0]}") from error


def _first(table: Table, names: Iterable[str]) -> str | None:
    return next((name for name in names if name in table), None)


def _column(table: Table, name: str) -> Column:
    """The array of that name, of numbers; raises BadEpisode."""
    full = _full(table, name)
    if full is None:
        raise BadEpisode("missing_array", f"no {name}; there are {_named(table)}")
    if table[full].dtype.kind not in _NUMBERS:
        raise BadEpisode("wrong_array", f"{full} of {table[full].dtype} holds no numbers")
    return table[full]


def _full(table: Table, name: str) -> str | None:
    """The name, or that of an observation called so."""
    return _first(table, (name, f"obs/{name}"))


def _named(names: Iterable[str]) -> str:
    listed = in_order(names)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return f"{', '.join(listed[:_MOST_NAMED]) or 'none'}{more}"


def _observed(table: Table, camera: str | None) -> str:
    """The array of observations; raises BadEpisode where none is named and several could be."""
    if camera is not None:
        found = _full(table, camera)
        if found is None:
            raise BadEpisode("missing_camera", f"no {camera}; there are {_named(table)}")
        return found
    usual = _first(table, OBSERVATIONS)
    if usual is not None:
        return usual
    pictures = [
        name
        for name, column in table.items()
        if column.dtype == np.uint8 and len(column.shape) in (4, 5) and not name.startswith("next_")
    ]
    if len(pictures) == 1:
        return pictures[0]
    if pictures:
        raise BadEpisode("several_cameras", f"choose by --camera: {_named(pictures)}")
    raise BadEpisode("missing_array", f"no observations; choose by --camera: {_named(table)}")


def _states(table: Table, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    if wanted is not None:
        return wanted
    usual = _first(table, STATES)
    return () if usual is None else (usual,)


def _next(table: Table, name: str) -> str | None:
    full = _full(table, name)
    return None if full is None else _first(table, (f"next_{full}",))


def _next_states(
    table: Table, names: tuple[str, ...], place: Place
) -> Shaped[np.ndarray, "..."] | None:
    later = [_next(table, name) for name in names]
    if not later or None in later:
        return None
    return in_floats([place.of(_column(table, name)) for name in later if name is not None])


def _dones(table: Table) -> str | None:
    """What says that an episode ends; terminals alone may say no more than that it was cut."""
    return "terminals" if all(name in table for name in BOUNDARIES) else _first(table, DONES)


def _optional(table: Table, name: str | None, place: Place) -> Shaped[np.ndarray, "..."] | None:
    return None if name is None else place.of(_column(table, name))


def _metadata(
    table: Table, place: Place, source: str, arguments: EpisodeArguments
) -> dict[str, str | float]:
    found: dict[str, str | float] = {"source": source}
    if arguments.fps is not None:
        found["fps"] = arguments.fps
    name = _first(table, TASKS)
    if name is not None and table[name].dtype.kind == "U":
        found["task"] = str(np.ravel(place.of(table[name]))[0])
    return found
