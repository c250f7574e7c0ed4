"""Decodes every recording of a folder of shards: what they hold, and which cannot be used."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from worldmodel_train.config.json_text import JsonError, parse_model, parse_object
from worldmodel_train.data.audio.probe import SoundInfo, probe_sound
from worldmodel_train.data.audio.sample import RecordingInfo
from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
from worldmodel_train.data.packing.check import (
    changed,
    countable,
    read_index,
    shard_path,
    unlisted,
)
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.journal import ShardRecord
from worldmodel_train.data.packing.pool import Lost, in_processes
from worldmodel_train.data.packing.probe import Beat
from worldmodel_train.data.packing.read import RawSample, open_shard, read_samples
from worldmodel_train.data.shards.tar_index import scan
from worldmodel_train.data.shards.wanted_files import AUDIO_EXTENSIONS

_LOOKED_AT = 100  # samples that tell whether a folder holds recordings


@dataclass
class RecordingsReport:
    """What a folder's recordings hold, and what is wrong with them."""

    shards: int = 0
    bytes: int = 0
    samples: int = 0
    """Good ones; what follows is of these."""
    seconds: float = 0.0
    shortest: float = float("inf")
    """Seconds of the shortest recording."""
    longest: float = 0.0
    rates: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    problems: list[str] = field(default_factory=list)

    def count(self, info: SoundInfo, label: str | None) -> None:
        """Add one recording."""
        self.samples += 1
        self.seconds += info.duration
        self.shortest = min(self.shortest, info.duration)
        self.longest = max(self.longest, info.duration)
        self.rates[f"{info.rate} Hz"] += 1
        self.channels[str(info.channels)] += 1
        self.codecs[countable(info.codec)] += 1
        self.labels.update([] if label is None else [countable(label)])
        self.unlabelled += label is None

    def merge(self, other: "RecordingsReport") -> None:
        """Add what another one found."""
        for name in ("shards", "bytes", "samples", "seconds", "unlabelled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.shortest = min(self.shortest, other.shortest)
        self.longest = max(self.longest, other.longest)
        for name in ("rates", "channels", "codecs", "labels"):
            getattr(self, name).update(getattr(other, name))
        self.problems += other.problems


@dataclass(frozen=True, kw_only=True)
class ShardOfRecordings:
    """One shard to check."""

    path: Path
    record: ShardRecord | None = None
    """What was packed; None where nobody says."""


def holds_recordings(folder: Path) -> bool:
    """Whether a set is of sound: as its `index.json` says, or its first samples where none is.

    Raises PackError where `index.json` is damaged.
    """
    if (folder / "index.json").is_file():
        return read_index(folder).arguments.samples == "recordings"
    for path in sorted(folder.glob("*.tar")):
        try:
            with open_shard(path) as file:
                table = scan(file)
        except BadVideo:
            continue
        if len(table):
            first = range(min(len(table), _LOOKED_AT))
            return any(AUDIO_EXTENSIONS.intersection(table[row].spans) for row in first)
    return False


def check_recordings(folder: Path, *, workers: int, timeout_s: float) -> RecordingsReport:
    """What every shard of the folder holds and what is wrong; PackError where there is none."""
    index = read_index(folder) if (folder / "index.json").is_file() else None
    records: dict[Path, ShardRecord | None] = dict.fromkeys(sorted(folder.glob("*.tar")))
    if index is not None:
        records |= {shard_path(folder, record): record for record in index.shards}
    if not records:
        raise PackError(f"{folder}: holds no .tar; name the folder of the shards itself")
    jobs = [ShardOfRecordings(path=path, record=one) for path, one in sorted(records.items())]
    report = RecordingsReport(problems=[] if index is None else unlisted(folder, index))
    for job, found in in_processes(check_shard, jobs, workers=workers, timeout_s=timeout_s):
        if isinstance(found, Lost):
            report.problems.append(f"{job.path.name}: {found.reason}, {found.detail}")
        else:
            report.merge(found)
    if not report.samples and not report.problems:
        report.problems.append("not one recording is there")
    return report


def check_shard(job: ShardOfRecordings, beat: Beat) -> RecordingsReport:
    """What one shard holds and what is wrong with it."""
    report, name = RecordingsReport(shards=1), job.path.name
    try:
        with open_shard(job.path) as file:
            report.bytes = job.path.stat().st_size
            if job.record is not None:
                report.problems += filter(None, [changed(job.path, job.record, beat)])
            _check_samples(file, job, report, beat)
    except BadVideo as verdict:
        report.problems.append(f"{name}: {verdict.reason}, {verdict.detail}")
    if job.record is not None and report.samples != job.record.samples:
        indexed = f"not {job.record.samples} as indexed"
        report.problems.append(f"{name}: {report.samples} good samples, {indexed}")
    return report


def _check_samples(
    file: BufferedReader, job: ShardOfRecordings, report: RecordingsReport, beat: Beat
) -> None:
    keys: set[str] = set()
    for sample in read_samples(file):
        beat()
        place = f"{job.path.name}: {sample.key}"
        if sample.key in keys:
            report.problems.append(f"{place}: appears twice")
        keys.add(sample.key)
        try:
            if sample.suffix not in AUDIO_SUFFIXES:
                raise BadVideo("recording", f"missing (found {sample.suffix})")
            found = probe_sound(sample.video, beat)
            report.count(found, _label(sample, found, packed=job.record is not None))
        except BadVideo as verdict:
            report.problems.append(f"{place}: {verdict.reason}, {verdict.detail}")


def _label(sample: RawSample, found: SoundInfo, *, packed: bool) -> str | None:
    """The label that the sample's json names; raises BadVideo where that is another's json."""
    if not sample.description:
        if packed:
            raise BadVideo("json", "missing")
        return None
    try:
        if not packed:
            label = parse_object(sample.description, f"{sample.key}.json").get("label")
            return None if label is None else str(label)
        info = parse_model(RecordingInfo, sample.description, f"{sample.key}.json")
    except JsonError as error:
        raise BadVideo("json", error.problem) from error
    if hashlib.sha256(sample.video).hexdigest() != info.sha256:
        raise BadVideo("sha256", "the recording's hash differs from its json")
    if (found.rate, found.duration) != (info.rate, info.duration):
        raise BadVideo("recording", f"holds {found.duration} s at {found.rate} Hz")
    return info.label
