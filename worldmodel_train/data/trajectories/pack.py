"""Recorded episodes -> shards of ours and rejects: what `wmt data pack --format` runs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from worldmodel_train.data.packing.chapters import (
    PackReport,
    Work,
    pack_entries,
    write_index_json,
)
from worldmodel_train.data.packing.encode import EncodeConfig
from worldmodel_train.data.packing.entry import Entry
from worldmodel_train.data.packing.episode_arguments import EpisodeArguments
from worldmodel_train.data.packing.errors import BadVideo
from worldmodel_train.data.packing.journal import PackArguments, only_writer
from worldmodel_train.data.packing.prepare import file_sha256, require_text
from worldmodel_train.data.packing.prepared import Prepared, Rejected
from worldmodel_train.data.packing.probe import Beat
from worldmodel_train.data.packing.progress import PackProgress
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.filming import cut_pictures, write_film
from worldmodel_train.data.trajectories.formats.open import open_reader
from worldmodel_train.data.trajectories.formats.recording import EpisodeReader, Recording
from worldmodel_train.data.trajectories.npz import BadArraysError
from worldmodel_train.data.trajectories.verdict import BadEpisode
from worldmodel_train.data.trajectories.write import npz_of
from worldmodel_train.data.video_files import MEMBER_LIMIT
from worldmodel_train.facts import FrameSize


@dataclass(frozen=True, kw_only=True)
class EpisodeJob:
    """One episode to read, and the scratch file beside which its sample is put together."""

    reader: EpisodeReader
    entry: Entry
    arguments: PackArguments
    scratch: Path


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """Episodes to pack, and who reads them."""

    reader: EpisodeReader
    entries: Sequence[Entry]


def find_recordings(root: Path, arguments: EpisodeArguments) -> Recordings:
    """All episodes of a folder; PackError where it is none of the format."""
    reader = open_reader(root, arguments)
    return Recordings(reader=reader, entries=reader.entries())


def pack_episodes(
    recordings: Recordings,
    out: Path,
    arguments: PackArguments,
    *,
    workers: int,
    timeout_s: float,
    progress: PackProgress,
) -> PackReport:
    """Pack episodes into `out`, going on where an earlier run of the same command stopped."""
    work = Work(
        task=prepare_episode,
        payload=partial(_job, recordings.reader, arguments),
        workers=workers,
        timeout_s=timeout_s,
    )
    with only_writer(out):
        report = pack_entries(recordings.entries, out, arguments, work, progress)
        write_index_json(out, report.index)
    return report


def prepare_episode(job: EpisodeJob, beat: Beat) -> Prepared | Rejected:
    """The files of an episode, as `data/trajectories` reads them; in a worker process."""
    films, arrays = dict[str, Path](), job.scratch.with_suffix(".npz")
    try:
        if job.entry.left_out is not None:
            raise BadEpisode(*job.entry.left_out)
        require_text(job.entry)
        recording = job.reader.read(job.entry.source)
        beat()
        size = _size(job.arguments)
        arrays.write_bytes(npz_of(_sized(recording.episode, size)))
        for suffix, film in recording.suffixes.items():
            films[suffix] = job.scratch.with_suffix(suffix)
            write_film(film, films[suffix], job.arguments.encode or EncodeConfig(), size, beat)
        files: dict[str, Path | bytes] = {**films, ".npz": arrays}
        _require_readable(files)
        said = {**recording.episode.metadata, "observations": recording.episode.length}
        files[".json"] = (json.dumps(said) + "\n").encode()
        return Prepared(files=files, content=_content(files, beat), seconds=_seconds(recording))
    except (BadEpisode, BadArraysError, BadVideo) as verdict:
        for path in (*films.values(), arrays):
            path.unlink(missing_ok=True)
        return Rejected(reason=verdict.reason, detail=verdict.detail)


def _job(
    reader: EpisodeReader, arguments: PackArguments, entry: Entry, scratch: Path
) -> EpisodeJob:
    return EpisodeJob(reader=reader, entry=entry, arguments=arguments, scratch=scratch)


def _size(arguments: PackArguments) -> FrameSize | None:
    assert arguments.episodes is not None, "how episodes are read"
    return None if arguments.episodes.size is None else FrameSize(*arguments.episodes.size)


def _sized(episode: Episode, size: FrameSize | None) -> Episode:
    """The episode with pictures of that size, if it has pictures."""
    pictures = episode.observations
    if size is None or pictures is None or pictures.dtype != np.uint8:
        return episode
    return replace(episode, observations=cut_pictures(pictures, size))


def _require_readable(files: Mapping[str, Path | bytes]) -> None:
    for suffix, file in files.items():
        if isinstance(file, Path) and file.stat().st_size > MEMBER_LIMIT:
            detail = f"{suffix} of {file.stat().st_size} bytes; training reads {MEMBER_LIMIT}"
            raise BadEpisode("too_large", f"{detail}; make pictures smaller with --resize")


def _content(files: Mapping[str, Path | bytes], beat: Beat) -> str:
    """What tells an episode from all others: its arrays and its film, not what is said of it."""
    hashes = [file_sha256(file, beat) for file in files.values() if isinstance(file, Path)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _seconds(recording: Recording) -> float:
    """Of film; 0 where there is none, or where nobody knows the rate of its pictures."""
    rate = recording.episode.metadata.get("fps")
    return round(recording.episode.length / rate, 4) if rate else 0.0
