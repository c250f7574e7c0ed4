"""One entry -> a verified video file and its sample information, in a worker process."""

import hashlib
import stat
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from worldmodel_train.data.packing.encode import EncodeConfig, Segment, reencode
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.errors import DISK_ERRORS, BadVideo
from worldmodel_train.data.packing.prepared import Prepared, Rejected
from worldmodel_train.data.packing.probe import Beat, VideoInfo, probe_all, probe_ends
from worldmodel_train.data.packing.sample import SampleInfo, content_id
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, MEMBER_LIMIT, VIDEO_SUFFIXES

CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Job:
    """One entry, how to encode it, and the scratch file to put the video into."""

    entry: Entry
    encode: EncodeConfig | None
    scratch: Path


def prepare(job: Job, beat: Beat) -> Prepared | Rejected:
    """The entry's video, copied or re-encoded into the scratch file and verified there.

    The copy is what is verified and hashed, so a source that changes meanwhile does no harm.
    """
    try:
        if job.entry.left_out is not None:
            raise BadVideo(*job.entry.left_out)
        require_text(job.entry)
        suffix, video = _encode(job, beat) if job.encode else _copy(job, beat)
        _require_duration(video)
        info = SampleInfo(
            **vars(video),
            sha256=file_sha256(job.scratch, beat),
            label=job.entry.label,
            labels=job.entry.labels,
            caption=job.entry.caption,
            source=job.entry.source,
            start=job.entry.start,
            end=job.entry.end,
        )
        return Prepared(
            files={suffix: job.scratch, ".json": info.to_json()},
            content=content_id(job.entry, info.sha256),
            seconds=info.duration,
        )
    except BadVideo as verdict:
        job.scratch.unlink(missing_ok=True)
        return Rejected(reason=verdict.reason, detail=verdict.detail)


def _encode(job: Job, beat: Beat) -> tuple[str, VideoInfo]:
    assert job.encode is not None
    _require_file(job.entry.path)
    start, end = job.entry.start or 0.0, job.entry.end or float("inf")
    reencode(job.entry.path, job.scratch, Segment(start=start, end=end), job.encode, beat)
    _require_size(job.scratch)
    return ".mp4", probe_all(job.scratch, beat)


def _copy(job: Job, beat: Beat) -> tuple[str, VideoInfo]:
    suffix = copy_file(job, VIDEO_SUFFIXES | IMAGE_SUFFIXES, beat)
    return suffix, probe_ends(job.scratch, beat)


def copy_file(job: Job, suffixes: Set[str], beat: Beat) -> str:
    """Copies the entry's file into its scratch file; its suffix. BadVideo where it is no such."""
    suffix = job.entry.path.suffix.lower()
    if suffix not in suffixes:
        known = " ".join(sorted(suffixes))
        raise BadVideo(
            "suffix", f"{suffix or 'no suffix'}: not the name of a file to pack: {known}"
        )
    _require_file(job.entry.path)
    _require_size(job.entry.path)
    try:
        with job.entry.path.open("rb") as source, job.scratch.open("wb") as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)
                beat()
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise
        raise BadVideo("unreadable", str(error.strerror)) from error
    return suffix


def require_text(entry: Entry) -> None:
    """Raises BadVideo for names that neither a tar nor a json file can hold."""
    for text in (entry.source, entry.name, entry.label, *(entry.labels or ()), entry.caption):
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            raise BadVideo("name", "path, label or caption is not UTF-8; rename it") from error


def _require_duration(video: VideoInfo) -> None:
    """Refuse what time stamps make so short, or so long, that no rate can be told."""
    if video.duration <= 0 or video.fps <= 0:
        raise BadVideo("timestamps", f"{video.frames} frames in {video.duration:g} s")


def _require_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a zero byte in the name
        raise BadVideo("missing", "no such file") from error
    except OSError as error:
        raise BadVideo("unreadable", str(error.strerror)) from error
    if not stat.S_ISREG(status.st_mode):
        raise BadVideo("missing", "not a file")
    if not status.st_size:
        raise BadVideo("empty", "the file has no bytes")


def _require_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MEMBER_LIMIT:
        raise BadVideo(
            "too_large",
            f"{size} bytes, training reads {MEMBER_LIMIT}; list segments with start and end",
        )


def file_sha256(path: Path, beat: Beat) -> str:
    """The hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            beat()
    return digest.hexdigest()
