"""Entries -> shards, index and rejects: the loop that `wmt data pack` runs."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldmodel_train.data.atomic_file import write_atomically
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.journal import (
    Chapter,
    Index,
    Journal,
    PackArguments,
    Reject,
    ShardRecord,
    only_writer,
)
from worldmodel_train.data.packing.pool import Lost, WorkerPool
from worldmodel_train.data.packing.prepare import Job, Prepared, Rejected, prepare
from worldmodel_train.data.packing.progress import PackProgress
from worldmodel_train.data.packing.sample import content_id, sample_key
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
AHEAD_PER_WORKER = 4  # finished videos waiting on disk for a slow one before them


@dataclass(frozen=True, kw_only=True)
class PackReport:
    """What a set holds, and how many videos were rejected for which reason."""

    index: Index
    rejects: Counter[str]
    resumed_entries: int
    """Entries an earlier run had already dealt with."""


def pack(
    entries: Sequence[Entry],
    out: Path,
    arguments: PackArguments,
    *,
    workers: int,
    timeout_s: float,
    progress: PackProgress,
) -> PackReport:
    """Pack the entries into `out`, going on where an earlier run of the same command stopped."""
    _require_encoding_for_segments(entries, arguments)
    with only_writer(out):
        journal = Journal(out)
        packing = _Packing(out, arguments, journal, journal.open(arguments, entries))
        resumed = packing.next_entry
        progress.start(len(entries), resumed, packing.totals())
        if resumed < len(entries):
            pool = WorkerPool[Job, Prepared | Rejected](
                prepare, workers, timeout_s, total_s=LONGEST * timeout_s
            )
            with scratch_folder(journal.folder) as scratch, pool, progress:
                jobs = (
                    Job(entry=entry, encode=arguments.encode, scratch=scratch / f"{number}.video")
                    for number, entry in enumerate(entries[resumed:], start=resumed)
                )
                outcomes = pool.map_in_order(jobs, AHEAD_PER_WORKER * workers)
                packing.run(entries, outcomes, scratch, progress)
        index = packing.write_index()
        return PackReport(index=index, rejects=packing.reject_counts(), resumed_entries=resumed)


def _require_encoding_for_segments(entries: Sequence[Entry], arguments: PackArguments) -> None:
    segment = next((entry for entry in entries if entry.is_segment), None)
    if segment is not None and arguments.encode is None:
        raise PackError(
            f"{segment.source}: start and end need re-encoding; add --codec h264 or --short-side"
        )


@dataclass
class _Open:
    """The chapter being written."""

    writer: ShardWriter | None = None
    contents: dict[str, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)


class _Packing:
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
        """Write `samples.idx`, then `index.json`, which marks the set as complete."""
        shards = tuple(c.shard for c in self._chapters if c.shard is not None)
        places = (IndexedShard(s.name, s.bytes, self._journal.table(s)) for s in shards)
        write_folder_index(self._out / INDEX_FILE, places)
        index = Index(
            shards=shards,
            samples=sum(shard.samples for shard in shards),
            seconds=round(sum(chapter.seconds for chapter in self._chapters), 3),
            arguments=self._arguments,
        )
        content = json.dumps(index.model_dump(), indent=1) + "\n"
        write_atomically(self._out / "index.json", content.encode())
        return index

    def reject_counts(self) -> Counter[str]:
        """Rejected videos by reason."""
        return self._rejects

    def totals(self) -> tuple[int, int]:
        """Bytes of the finished shards, and videos rejected before the open one."""
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
        key, content = sample_key(entry), content_id(entry, sample.info)
        twin = self._contents.get(content)
        if twin is not None or key in self._keys:
            sample.video.unlink()
            return Rejected(reason="duplicate", detail=f"the same video as {twin or key}")
        size = closed_size(self._open_bytes() + sample_size(key, sample))
        if self._open.writer is not None and size > self._arguments.shard_size:
            self._close_chapter(number)
        if self._open.writer is None:
            name = f"shard-{len(self._chapters):06d}.tar"
            self._open.writer = ShardWriter(self._out / name, self._scratch)
        self._open.writer.add(key, sample)
        sample.video.unlink()
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


def _line(reject: Reject) -> str:
    return json.dumps(reject.model_dump(), ensure_ascii=False) + "\n"
