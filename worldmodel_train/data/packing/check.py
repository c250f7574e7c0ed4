"""Compares shards with their index, and every sample with its json and its video."""

import hashlib
import io
import os
from collections import Counter
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.journal import Index, ShardRecord
from worldmodel_train.data.packing.pool import Lost, in_processes
from worldmodel_train.data.packing.prepare import file_sha256
from worldmodel_train.data.packing.probe import Beat, Probe
from worldmodel_train.data.packing.read import (
    RawSample,
    compressed_shards,
    open_shard,
    read_samples,
)
from worldmodel_train.data.packing.sample import SampleInfo
from worldmodel_train.data.shards.folder_index import INDEX_FILE, read_directory
from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

LONGEST_NAME = 100  # characters of a label or codec


@dataclass
class CheckReport:
    """What shards hold, counted, and what is wrong with them."""

    samples: int = 0
    bytes: int = 0
    seconds: float = 0.0
    frame_rates: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    shards: int = 0
    problems: list[str] = field(default_factory=list)

    def count(self, info: SampleInfo) -> None:
        """Add one sample."""
        self.samples += 1
        self.seconds += info.duration
        self.frame_rates[f"{info.fps:.4g}"] += 1
        self.sizes[f"{info.width}x{info.height}"] += 1
        self.codecs[countable(info.codec)] += 1
        labels = [info.label] if info.label is not None else info.labels
        self.labels.update(map(countable, labels or ()))
        self.unlabelled += not labels

    def merge(self, other: "CheckReport") -> None:
        """Add what another report found."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


def countable(name: str) -> str:
    """The name, or of one too long to be kept for every shard its beginning and a hash."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}... {hashlib.sha256(name.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """One shard to check, and how its videos are looked at."""

    path: Path
    record: ShardRecord
    probe: Probe


def check_shards(out: Path, probe: Probe, *, workers: int, timeout_s: float) -> CheckReport:
    """What every shard of `out/index.json` holds and what is wrong; PackError without an index."""
    index = read_index(out)
    report = CheckReport()
    jobs = [
        ShardJob(path=shard_path(out, record), record=record, probe=probe)
        for record in index.shards
    ]
    for job, found in in_processes(check_shard, jobs, workers=workers, timeout_s=timeout_s):
        if isinstance(found, Lost):
            report.problems.append(f"{job.record.name}: {found.reason}, {found.detail}")
        else:
            report.merge(found)
    report.problems += unlisted(out, index)
    if report.samples != index.samples and not report.problems:
        report.problems.append(f"index.json: says {index.samples} samples, found {report.samples}")
    return report


def unlisted(out: Path, index: Index) -> list[str]:
    """Shards that `index.json` does not name, and where `samples.idx` says something else."""
    listed = {record.name for record in index.shards}
    strangers = sorted(path.name for path in out.glob("*.tar") if path.name not in listed)
    return [f"{name}: not listed in index.json" for name in strangers] + _differences(out, index)


def changed(path: Path, record: ShardRecord, beat: Beat) -> str:
    """How a shard differs from what was packed; empty where it does not."""
    size = path.stat().st_size
    if size != record.bytes:
        return f"{record.name}: {size} bytes, not {record.bytes}"
    if file_sha256(path, beat) != record.sha256:
        return f"{record.name}: its sha256 differs from the index"
    return ""


def _differences(out: Path, index: Index) -> list[str]:
    """Where `samples.idx` says something else than `index.json`; a set may be without it."""
    path = out / INDEX_FILE
    if not path.is_file():
        return []
    try:
        names, sizes, samples, *_ = read_directory(path)
    except ValueError as error:
        return [str(error)]
    found = set(zip(names.tolist(), sizes.tolist(), samples.tolist(), strict=True))
    wanted = {(os.fsencode(s.name), s.bytes, s.samples) for s in index.shards}
    others = sorted({os.fsdecode(shard[0]) for shard in found ^ wanted})
    return [
        f"{INDEX_FILE}: differs from index.json for {name}; run `wmt data index {out}`"
        for name in others
    ]


def read_index(out: Path) -> Index:
    """`out/index.json`; PackError where there is none or it says nonsense."""
    path = out / "index.json"
    if out.is_file():
        raise PackError(f"{out}: is a file; name the folder of the shards and their index.json")
    if not path.is_file():
        raise PackError(f"{path}: no such file; {_instead_of_index(out)}")
    try:
        return parse_model(Index, path.read_bytes(), path)
    except JsonError as error:
        raise PackError(f"{error}; pack the set again") from None


def _instead_of_index(out: Path) -> str:
    """What a folder without an `index.json` is, and what to do with it."""
    if (out / "journal").is_dir():
        return "repeat the pack command to finish it"
    if any(out.glob("*.tar")):
        return (
            "of videos, check and show know sets of `wmt data pack` alone. For training on others' "
            f"shards, `wmt data index {out}` looks for what cannot be used"
        )
    return compressed_shards(out) or "is it a packed folder?"


def shard_path(out: Path, record: ShardRecord) -> Path:
    """The shard inside `out`; an index cannot point elsewhere."""
    name = record.name
    if name in {"", ".", ".."} or "\0" in name or Path(name).name != name:
        raise PackError(f"{out / 'index.json'}: shard name {name!r} is not a file name")
    return out / record.name


def check_shard(job: ShardJob, beat: Beat) -> CheckReport:
    """What one shard holds and what is wrong with it."""
    report = CheckReport(shards=1)
    name = job.record.name
    try:
        with open_shard(job.path) as file:
            report.bytes = job.path.stat().st_size
            report.problems += filter(None, [changed(job.path, job.record, beat)])
            _check_samples(file, job, report, beat)
    except BadVideo as verdict:
        report.problems.append(f"{name}: {verdict.reason}, {verdict.detail}")
    if report.samples != job.record.samples:
        report.problems.append(
            f"{name}: {report.samples} good samples, not {job.record.samples} as indexed"
        )
    return report


def _check_samples(file: BufferedReader, job: ShardJob, report: CheckReport, beat: Beat) -> None:
    keys: set[str] = set()
    for sample in read_samples(file):
        beat()
        place = f"{job.record.name}: {sample.key}"
        if sample.key in keys:
            report.problems.append(f"{place}: appears twice")
        keys.add(sample.key)
        try:
            report.count(_verified(sample, job.probe, beat))
        except BadVideo as verdict:
            report.problems.append(f"{place}: {verdict.reason}, {verdict.detail}")


def _verified(sample: RawSample, probe: Probe, beat: Beat) -> SampleInfo:
    """The sample's information, once its json, hash and video agree."""
    if not sample.description:
        raise BadVideo("json", "missing")
    if sample.suffix not in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
        raise BadVideo("video", f"missing (found {sample.suffix})")
    try:
        info = parse_model(SampleInfo, sample.description, f"{sample.key}.json")
    except JsonError as error:
        raise BadVideo("json", error.problem) from error
    if hashlib.sha256(sample.video).hexdigest() != info.sha256:
        raise BadVideo("sha256", "the video's hash differs from its json")
    found = probe(io.BytesIO(sample.video), beat)
    if (found.frames, found.width, found.height) != (info.frames, info.width, info.height):
        raise BadVideo("video", f"holds {found.frames} frames {found.width}x{found.height}")
    return info
