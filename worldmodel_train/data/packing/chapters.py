"""Entries -> shards, a journal and rejects, whatever a sample is: what packing goes on from."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.journal import (
    Chapter,
    Index,
    Journal,
    PackArguments,
    Reject,
    ShardRecord,
)
from worldmodel_train.data.packing.pool import Lost, Task, WorkerPool
from worldmodel_train.data.packing.prepared import Prepared, Rejected
from worldmodel_train.data.packing.progress import PackProgress
from worldmodel_train.data.packing.sample import sample_key
from worldmodel_train.data.packing.scratch import scratch_folder
from worldmodel_train.data.packing.shard_writer import (
    ShardWriter,
    closed_size,
    sample_size,
)
from worldmodel_train.data.shards.folder_index import (
    INDEX_FILE,
    IndexedShard,
    write_folder_index,
)

LONGEST = 240  # silences; with one of a minute four hours, and a film at full size takes two
AHEAD_PER_WORKER = 4  # finished samples waiting on disk for a slow one before them


@dataclass(frozen=True, kw_only=True)
class Work:
    """How entries become samples: in worker processes, each in a scratch file of its own."""

    task: Task
    """Gives a Prepared or Rejected for a payload."""
    payload: Callable[[Entry, Path], Any]
    """What the task is given for an entry and its scratch file."""
    workers: int
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class PackReport:
    """What a set holds, and how many entries were rejected for which reason."""

    index: Index
    rejects: Counter[str]
    resumed_entries: int
    """Entries an earlier run had already dealt with."""


def pack_entries(
    entries: Sequence[Entry],
    out: Path,
    arguments: PackArguments,
    work: Work,
    progress: PackProgress,
) -> PackReport:
    """Pack the entries into `out`, going on where an earlier run of the same command stopped.

    The caller is the only writer of `out`.
    """
    journal = Journal(out)
    packing = Packing(out, arguments, journal, journal.open(arguments, entries))
    resumed = packing.next_entry
    progress.start(len(entries), resumed, packing.totals())
    if resumed < len(entries):
        pool = WorkerPool[Any, Prepared | Rejected](
            work.task, work.workers, work.timeout_s, total_s=LONGEST * work.timeout_s
        )
        with scratch_folder(journal.folder) as scratch, pool, progress:
            payloads = (
                work.payload(entry, scratch / f"{number}.sample")
                for number, entry in enumerate(entries[resumed:], start=resumed)
            )
            outcomes = pool.map_in_order(payloads, AHEAD_PER_WORKER * work.workers)
            packing.run(entries, outcomes, scratch, progress)
    return PackReport(
        index=packing.write_index(), rejects=packing.reject_counts(), resumed_entries=resumed
    )


@dataclass
class _Open:
    """The chapter being written."""

    writer: ShardWriter | None = None
    contents: dict[str, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)


class Packing:
    """The state of a run: finished chapters and the open one."""

    def __init__(
        self, out: Path, arguments: PackArguments, journal: Journal, chapters: list[Chapter]
    ) -> None:
        self._out, self._arguments, self._journal = out, arguments, journal
        self._chapters: list[Chapter] = []
        self._bytes, self._rejects = 0, Counter[str]()  # of the finished chapters
        for chapter in chapters:
            self._finish(chapter)
        self._open = _Open()
        self._contents = {h: key for chapter in chapters for h, key in chapter.contents.items()}
        self._keys = set(self._contents.values())
        self._rewrite_rejects()

    @property
    def next_entry(self) -> int:
        """The first entry that no finished shard has dealt with."""
        return self._chapters[-1].next_entry if self._chapters else 0

    def run(
        self,
        entries: Sequence[Entry],
        outcomes: Iterator[Prepared | Rejected | Lost],
        scratch: Path,
        progress: PackProgress,
    ) -> None:
        """Take every outcome in the entries' order; on any error drop only the open shard.

        Shards grow in `scratch`, a folder on the disk of the set.
        """
        first, self._scratch = self.next_entry, scratch
        try:
            for number, outcome in enumerate(outcomes, start=first):
                rejected = self._take(entries[number], number, outcome)
                progress.advance(self.totals()[0] + self._open_bytes(), rejected)
            self._close_chapter(len(entries))
        finally:
            if self._open.writer is not None:
                self._open.writer.abandon()

    def write_index(self) -> Index:
        """Write `samples.idx`; what the set holds."""
        shards = tuple(c.shard for c in self._chapters if c.shard is not None)
        places = (IndexedShard(s.name, s.bytes, self._journal.table(s)) for s in shards)
        write_folder_index(self._out / INDEX_FILE, places)
        return Index(
            shards=shards,
            samples=sum(shard.samples for shard in shards),
            seconds=round(sum(chapter.seconds for chapter in self._chapters), 3),
            arguments=self._arguments,
        )

    def reject_counts(self) -> Counter[str]:
        """What was rejected, by reason."""
        return self._rejects

    def totals(self) -> tuple[int, int]:
        """Bytes of the finished shards, and what was rejected before the open one."""
        return self._bytes, self._rejects.total()

    def _finish(self, chapter: Chapter) -> None:
        self._chapters.append(chapter)
        self._bytes += chapter.shard.bytes if chapter.shard is not None else 0
        self._rejects.update(reject.reason for reject in chapter.rejects)

    def _take(
        self, entry: Entry, number: int, outcome: Prepared | Rejected | Lost
    ) -> Reject | None:
        verdict = self._add(entry, number, outcome) if isinstance(outcome, Prepared) else outcome
        if verdict is None:
            return None
        reject = Reject(
            path=str(entry.path).encode(errors="backslashreplace").decode(),
            start=entry.start,
            end=entry.end,
            reason=verdict.reason,
            detail=verdict.detail,
        )
        self._open.rejects.append(reject)
        with (self._out / "rejects.jsonl").open("a", encoding="utf-8") as file:
            file.write(_line(reject))
        return reject

    def _add(self, entry: Entry, number: int, sample: Prepared) -> Rejected | None:
        """None once the sample is in the open shard; a verdict where it was there already."""
        key, content = sample_key(entry), sample.content
        twin = self._contents.get(content)
        if twin is not None or key in self._keys:
            sample.discard()
            return Rejected(reason="duplicate", detail=f"the same as {twin or key}")
        size = closed_size(self._open_bytes() + sample_size(sample))
        if self._open.writer is not None and size > self._arguments.shard_size:
            self._close_chapter(number)
        if self._open.writer is None:
            name = f"shard-{len(self._chapters):06d}.tar"
            self._open.writer = ShardWriter(self._out / name, self._scratch)
        self._open.writer.add(key, sample)
        sample.discard()
        self._open.contents[content] = self._contents[content] = key
        self._keys.add(key)
        return None

    def _open_bytes(self) -> int:
        return self._open.writer.bytes if self._open.writer is not None else 0

    def _close_chapter(self, next_entry: int) -> None:
        """Finish the open shard, then record it: a shard without a record is written again."""
        opened, record, seconds = self._open, None, 0.0
        if opened.writer is not None:
            size, sha256 = opened.writer.finish()
            seconds = opened.writer.seconds
            record = ShardRecord(
                name=opened.writer.name, samples=opened.writer.samples, bytes=size, sha256=sha256
            )
        chapter = Chapter(
            next_entry=next_entry,
            shard=record,
            seconds=seconds,
            contents=opened.contents,
            rejects=tuple(opened.rejects),
        )
        self._journal.append(len(self._chapters), chapter)
        self._finish(chapter)
        self._open = _Open()

    def _rewrite_rejects(self) -> None:
        """Cut lines of a killed run whose videos will be looked at again."""
        lines = [_line(reject) for chapter in self._chapters for reject in chapter.rejects]
        write_atomically(self._out / "rejects.jsonl", "".join(lines).encode())


def write_index_json(out: Path, index: Index) -> None:
    """Write `index.json`, which comes last and marks a set as complete."""
    content = json.dumps(index.model_dump(), indent=1) + "\n"
    write_atomically(out / "index.json", content.encode())


def _line(reject: Reject) -> str:
    return json.dumps(reject.model_dump(), ensure_ascii=False) + "\n"
