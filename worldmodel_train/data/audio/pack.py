"""Recordings of sound -> shards, index and rejects: what `wmt data pack --audio` runs."""

from collections.abc import Sequence
from pathlib import Path

from worldmodel_train.data.audio.probe import probe_sound
from worldmodel_train.data.audio.sample import RecordingInfo
from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
from worldmodel_train.data.packing.chapters import (
    PackReport,
    Work,
    pack_entries,
    write_index_json,
)
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.journal import PackArguments, only_writer
from worldmodel_train.data.packing.prepare import Job, copy_file, file_sha256, require_text
from worldmodel_train.data.packing.prepared import Prepared, Rejected
from worldmodel_train.data.packing.probe import Beat
from worldmodel_train.data.packing.progress import PackProgress
from worldmodel_train.data.packing.sample import content_id


def pack_recordings(
    entries: Sequence[Entry],
    out: Path,
    arguments: PackArguments,
    *,
    workers: int,
    timeout_s: float,
    progress: PackProgress,
) -> PackReport:
    """Pack recordings as they are, going on where an earlier run of the same command stopped."""
    segment = next((entry for entry in entries if entry.is_segment), None)
    if segment is not None:
        raise PackError(f"{segment.source}: recordings are packed whole; leave out start and end")
    work = Work(task=prepare_recording, payload=_job, workers=workers, timeout_s=timeout_s)
    with only_writer(out):
        report = pack_entries(entries, out, arguments, work, progress)
        write_index_json(out, report.index)
    return report


def prepare_recording(job: Job, beat: Beat) -> Prepared | Rejected:
    """The entry's recording, copied into the scratch file, decoded and hashed there."""
    try:
        if job.entry.left_out is not None:
            raise BadVideo(*job.entry.left_out)
        require_text(job.entry)
        suffix = copy_file(job, AUDIO_SUFFIXES, beat)
        info = RecordingInfo(
            **vars(probe_sound(job.scratch.read_bytes(), beat)),
            sha256=file_sha256(job.scratch, beat),
            label=job.entry.label,
            caption=job.entry.caption,
            source=job.entry.source,
        )
        return Prepared(
            files={suffix: job.scratch, ".json": info.to_json()},
            content=content_id(job.entry, info.sha256),
            seconds=info.duration,
        )
    except BadVideo as verdict:
        job.scratch.unlink(missing_ok=True)
        return Rejected(reason=verdict.reason, detail=verdict.detail)


def _job(entry: Entry, scratch: Path) -> Job:
    return Job(entry=entry, encode=None, scratch=scratch)
