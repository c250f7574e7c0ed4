"""Packing by several machines: each packs a part of the entries, then the parts become one set.

Part 3 of 16 is packed into `OUT/part-0003-of-0016`, a set of its own. Once all parts are finished,
their shards are renamed into `OUT` and get one index there.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.data.atomic_file import sync_folder, write_atomically
from worldmodel_train.data.packing.check import read_index, shard_path
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.journal import (
    Index,
    Reject,
    ShardRecord,
    fingerprint,
    only_writer,
    read_chapters,
    samples_of,
)
from worldmodel_train.data.shards.folder_index import (
    INDEX_FILE,
    IndexedShard,
    write_folder_index,
)
from worldmodel_train.data.shards.shard_table import ShardTable

_FOLDER = re.compile(r"part-(\d{4,})-of-(\d{4,})")
_WHOLE = "whole.json"
_JOURNAL_FILES = ("chapter-*.json", "shard-*.tar.rows", "scratch.txt", "arguments.json")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """A part from text such as `3/16`."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise PackError(f"--part {text}: write 1/16 for the first of 16 parts")
        return cls(number=int(number), of=int(of))

    def folder(self, out: Path) -> Path:
        """Where this part of `out` is packed."""
        return out / f"part-{self.number:04d}-of-{self.of:04d}"

    def of_entries(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """The entries of this part: neighbours, so that segments of a video stay together."""
        if len(entries) < self.of:
            raise PackError(f"--part {self.number}/{self.of}: {len(entries)} are too few")
        first, last = (len(entries) * k // self.of for k in (self.number - 1, self.number))
        return entries[first:last]


def begin_part(part: Part, entries: Sequence[Entry], out: Path) -> tuple[Path, Sequence[Entry]]:
    """The folder of a part and its entries; notes of which whole list it is a part."""
    if (out / "index.json").exists():
        raise PackError(f"{out}: is a finished set already; pack into an empty folder")
    chosen, folder = part.of_entries(entries), part.folder(out)
    whole = json.dumps({"entries": len(entries), "entries_sha256": fingerprint(entries)}).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PackError(f"{folder}: cannot be written ({error.strerror})") from None
    if not (folder / _WHOLE).exists():
        write_atomically(folder / _WHOLE, whole)
    elif (folder / _WHOLE).read_bytes() != whole:
        raise PackError(f"{folder}: was begun with another list; repeat that command, or remove it")
    return folder, chosen


@dataclass(frozen=True, kw_only=True)
class MergeReport:
    """The one set that parts became."""

    index: Index
    rejects: Counter[str]
    twice: int
    """Videos found in several parts by this merge: packing a part knows nothing of the others."""


def merge_parts(out: Path) -> MergeReport:
    """One set of the parts in `out`; a merge that was stopped goes on.

    Raises:
        PackError: A part is missing, unfinished, or of another list or other arguments.
    """
    if not out.is_dir():
        raise PackError(f"{out}: no such folder")
    twice = 0
    with only_writer(out):
        if not (out / "index.json").exists():
            parts = _finished_parts(out)
            twice = _twice(parts)
            _merge(out, parts)
        for folder in _part_folders(out):
            _remove_part(folder)
    return MergeReport(index=read_index(out), rejects=_reject_counts(out), twice=twice)


def _part_folders(out: Path) -> dict[Path, re.Match[str]]:
    """The folders of parts in order; what else has a similar name is not ours."""
    found = ((path, _FOLDER.fullmatch(path.name)) for path in sorted(out.glob("part-*-of-*")))
    return {path: match for path, match in found if match is not None and (path / _WHOLE).is_file()}


def _remove_part(folder: Path) -> None:
    """Remove what packing made of a part that is merged; what somebody added stays, with it."""
    journal = folder / "journal"
    names = [path for pattern in _JOURNAL_FILES for path in sorted(journal.glob(pattern))]
    names += [folder / name for name in ("index.json", INDEX_FILE, "rejects.jsonl", ".lock")]
    for path in (*names, folder / _WHOLE):  # last, as it says that the folder is ours
        path.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        journal.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _reject_counts(out: Path) -> Counter[str]:
    path = out / "rejects.jsonl"
    lines = path.read_bytes().splitlines()
    try:
        rejects = (parse_model(Reject, line, f"{path}:{n}") for n, line in enumerate(lines, 1))
        return Counter[str](reject.reason for reject in rejects)
    except JsonError as error:
        raise PackError(str(error)) from None


def _finished_parts(out: Path) -> list[Path]:
    """The parts' folders in order, all there and of one mould."""
    found = _part_folders(out)
    if not found:
        raise PackError(f"{out}: holds no parts (part-0001-of-...); nothing to merge")
    numbers = {(int(match[1]), int(match[2])) for match in found.values()}
    of = max(of for _, of in numbers)
    if strangers := sorted(other for _, other in numbers if other != of):
        raise PackError(f"{out}: holds parts of {strangers[0]} and of {of}; remove one kind")
    absent = (n for n in range(1, of + 1) if (n, of) not in numbers)
    unfinished = (int(match[1]) for folder, match in found.items() if _unfinished(folder))
    # no more than are shown: a folder's name may claim any number of parts
    if missing := list(islice(chain(absent, unfinished), 11)):
        names = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        raise PackError(f"{out}: of {of} parts these are not finished: {names}; pack them first")
    first, *others = found
    for folder in others:
        if (folder / _WHOLE).read_bytes() != (first / _WHOLE).read_bytes():
            raise PackError(f"{folder}: is part of another list than {first.name}; pack it again")
        if read_index(folder).arguments != read_index(first).arguments:
            raise PackError(f"{folder}: was packed with other options than {first.name}")
    return list(found)


def _unfinished(folder: Path) -> bool:
    return not (folder / "index.json").is_file()


def _merge(out: Path, parts: Sequence[Path]) -> None:
    """Renames shards, numbered on through the parts; the index comes last and makes the set."""
    indexes = [read_index(part) for part in parts]
    records: list[ShardRecord] = []
    tables: list[Callable[[], ShardTable]] = []
    for part, index in zip(parts, indexes, strict=True):
        for record in index.shards:
            target = f"shard-{len(records):06d}.tar"
            _move(shard_path(part, record), out / target, record)
            records.append(record.model_copy(update={"name": target}))
            tables.append(partial(samples_of, part, record, out / target))
    sync_folder(out)
    shards = zip(records, tables, strict=True)
    places = (IndexedShard(shard.name, shard.bytes, table()) for shard, table in shards)
    write_folder_index(out / INDEX_FILE, places)
    _write_rejects(out / "rejects.jsonl", parts)
    merged = Index(
        shards=tuple(records),
        samples=sum(index.samples for index in indexes),
        seconds=round(sum(index.seconds for index in indexes), 3),
        arguments=indexes[0].arguments,
    )
    content = json.dumps(merged.model_dump(), indent=1) + "\n"
    write_atomically(out / "index.json", content.encode())


def _write_rejects(path: Path, parts: Sequence[Path]) -> None:
    """The rejects of all parts, unless the file is somebody else's."""
    rejects = b"".join((part / "rejects.jsonl").read_bytes() for part in parts)
    if path.exists() and path.read_bytes() != rejects:
        raise PackError(f"{path}: is of another set; take it away, then merge again")
    write_atomically(path, rejects)


def _move(shard: Path, target: Path, record: ShardRecord) -> None:
    """Renames a shard, unless an earlier merge has done so."""
    if shard.is_file():
        if target.exists():
            raise PackError(f"{target}: is of another set; take it away, then merge again")
        shard.rename(target)
    elif not target.is_file() or target.stat().st_size != record.bytes:
        raise PackError(f"{shard}: is gone; remove {shard.parent} and pack this part again")


def _twice(parts: Sequence[Path]) -> int:
    """Videos in more than one part."""
    seen: set[bytes] = set()
    twice = 0
    for part in parts:
        contents = (chapter.contents for chapter in read_chapters(part))
        own = {bytes.fromhex(sha256) for hashes in contents for sha256 in hashes}
        twice += len(own & seen)
        seen |= own
    return twice
