"""What to pack: a folder, a CSV or JSONL list, or paths on standard input -> entries."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from worldmodel_train.config.json_text import JsonError, parse_object
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.folder_entries import folder_entries
from worldmodel_train.data.packing.times import seconds
from worldmodel_train.data.video_files import VIDEO_SUFFIXES

COLUMNS = ("path", "label", "caption", "start", "end")


def read_entries(
    source: str,
    root: Path | None,
    stdin: Iterable[str],
    *,
    suffixes: frozenset[str] = VIDEO_SUFFIXES,
) -> list[Entry]:
    """The entries of SRC: a folder, a `.csv` or `.jsonl` list, or `-` for paths on `stdin`.

    Relative paths of a list are looked up under `root` (default: the folder of the list; the
    working folder for stdin). `suffixes` are those wanted of a folder's files; a list may name any.
    Raises PackError where nothing can be read.
    """
    if source == "-":
        return _with_root(({"path": line} for line in _lines(stdin)), root or Path.cwd(), "stdin")
    path = Path(source)
    if path.is_dir():
        return folder_entries(path, suffixes)
    if not path.exists():
        raise PackError(f"{source}: no such folder or list")
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    if path.suffix.lower() not in readers:
        raise PackError(f"{source}: a list must end in .csv or .jsonl; a folder or - works as well")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = readers[path.suffix.lower()](file, source)
            return _with_root(rows, root or path.parent, source)
    except UnicodeDecodeError as error:
        raise PackError(f"{source}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise PackError(f"{source}: is not valid CSV ({error}); save it as UTF-8 CSV") from None


def _with_root(rows: Iterable[Mapping[str, object]], root: Path, origin: str) -> list[Entry]:
    entries = [_entry(row, root, f"{origin}: entry {i}") for i, row in enumerate(rows, start=1)]
    if not entries:
        raise PackError(f"{origin}: names no videos")
    return entries


def _entry(row: Mapping[str, object], root: Path, place: str) -> Entry:
    unknown = [str(key) for key in row if key not in COLUMNS]
    if unknown:
        raise PackError(f"{place}: unknown column {unknown[0]!r}; known: {', '.join(COLUMNS)}")
    text = {key: str(value).strip() for key, value in row.items() if value is not None}
    if not text.get("path"):
        raise PackError(f"{place}: has no path")
    start, end = (seconds(text.get(key), f"{place}: {key}") for key in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise PackError(f"{place}: end={end} is not after start={start or 0.0}")
    return Entry(
        source=text["path"],
        path=root / text["path"],
        label=text.get("label") or None,
        caption=text.get("caption") or None,
        start=start,
        end=end,
    )


def _lines(file: Iterable[str]) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in file if line.strip())


def _csv_rows(file: Iterable[str], origin: str) -> Iterator[Mapping[str, object]]:
    reader = csv.DictReader(file, restkey="more cells than the header has")
    if "path" not in (reader.fieldnames or ()):
        raise PackError(f"{origin}: the first line must name the columns, `path` among them")
    yield from reader


def _jsonl_rows(file: Iterable[str], origin: str) -> Iterator[Mapping[str, object]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            yield parse_object(line, f"{origin}:{number}")
        except JsonError as error:
            raise PackError(f"{error}; a line must be an object with a `path`") from None
