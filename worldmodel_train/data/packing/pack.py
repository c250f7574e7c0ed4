"""Videos -> shards, index and rejects: what `wmt data pack` runs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from worldmodel_train.data.packing.chapters import (
    PackReport,
    Work,
    pack_entries,
    write_index_json,
)
from worldmodel_train.data.packing.encode import EncodeConfig
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.journal import PackArguments, only_writer
from worldmodel_train.data.packing.prepare import Job, prepare
from worldmodel_train.data.packing.progress import PackProgress


def pack(
    entries: Sequence[Entry],
    out: Path,
    arguments: PackArguments,
    *,
    workers: int,
    timeout_s: float,
    progress: PackProgress,
) -> PackReport:
    """Pack the entries into `out`, going on where an earlier run of the same command stopped.

    `index.json`, written last, marks the set as complete.
    """
    _require_encoding_for_segments(entries, arguments)
    work = Work(
        task=prepare,
        payload=partial(_job, arguments.encode),
        workers=workers,
        timeout_s=timeout_s,
    )
    with only_writer(out):
        report = pack_entries(entries, out, arguments, work, progress)
        write_index_json(out, report.index)
    return report


def _job(encode: EncodeConfig | None, entry: Entry, scratch: Path) -> Job:
    return Job(entry=entry, encode=encode, scratch=scratch)


def _require_encoding_for_segments(entries: Sequence[Entry], arguments: PackArguments) -> None:
    segment = next((entry for entry in entries if entry.is_segment), None)
    if segment is not None and arguments.encode is None:
        raise PackError(
            f"{segment.source}: start and end need re-encoding; add --codec h264 or --short-side"
        )
