"""Reads every episode of a folder of shards: what they hold, and which cannot be used."""

import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldmodel_train.data.packing.check import changed, read_index, shard_path, unlisted
from worldmodel_train.data.packing.errors import BadVideo, PackError
from worldmodel_train.data.packing.journal import ShardRecord
from worldmodel_train.data.packing.pool import Lost, in_processes
from worldmodel_train.data.packing.probe import Beat, Probe
from worldmodel_train.data.packing.read import open_shard
from worldmodel_train.data.shards.folder_index import INDEX_FILE
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import EncodedSample, SampleError
from worldmodel_train.data.shards.tar_index import scan
from worldmodel_train.data.shards.wanted_files import ALL_VIDEOS, WantedFiles
from worldmodel_train.data.trajectories.config import EPISODE_MB
from worldmodel_train.data.trajectories.episode import Episode, arrays_of, episode_of
from worldmodel_train.data.trajectories.facts import EpisodeShapes
from worldmodel_train.data.trajectories.moments import Moments, joined
from worldmodel_train.data.trajectories.npz import BadArraysError
from worldmodel_train.data.trajectories.verdict import BadEpisode

WANTED = WantedFiles(needed=("npz",), read=("npz", ALL_VIDEOS))
_LOOKED_AT = 100  # samples that tell whether a folder holds episodes


@dataclass
class EpisodesReport:
    """What a folder's episodes hold, and what is wrong with them."""

    shards: int = 0
    bytes: int = 0
    episodes: int = 0
    """Good ones; what follows is of these."""
    steps: int = 0
    """Actions."""
    shortest: int | None = None
    """Observations of the shortest."""
    longest: int = 0
    seconds: float = 0.0
    """Of video."""
    sizes: Counter[str] = field(default_factory=Counter)
    """Of the frames of videos."""
    actions: Moments | None = None
    states: Moments | None = None
    rewards: Moments | None = None
    ends: int = 0
    """Episodes that end, and are not cut off."""
    bad: Counter[str] = field(default_factory=Counter)
    """Bad episodes, by reason."""
    problems: list[str] = field(default_factory=list)
    """One line for each of them, and for each shard that cannot be read."""
    shapes: EpisodeShapes | None = None
    """Of the first good episode, which all others must have."""

    def count(self, episode: Episode, draw: np.random.Generator) -> None:
        """Add one; `draw` decides which rows percentiles are taken of, where there are many."""
        self.episodes += 1
        self.steps += len(episode.actions)
        self.shortest = min(self.shortest or episode.length, episode.length)
        self.longest = max(self.longest, episode.length)
        if len(episode.actions):
            self.actions = joined(self.actions, Moments.of(episode.actions, draw))
            if episode.rewards is not None:
                self.rewards = joined(self.rewards, Moments.of(episode.rewards[:, None], draw))
        if episode.states is not None:
            self.states = joined(self.states, Moments.of(episode.states, draw))
        self.ends += int(episode.ends is not None and bool(episode.ends.any()))

    def merge(self, other: "EpisodesReport") -> None:
        """Add what another one found."""
        for name in ("shards", "bytes", "episodes", "steps", "seconds", "ends"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        lengths = [length for length in (self.shortest, other.shortest) if length is not None]
        self.shortest = min(lengths, default=None)
        self.longest = max(self.longest, other.longest)
        self.sizes.update(other.sizes)
        self.bad.update(other.bad)
        self.problems += other.problems
        for name in ("actions", "states", "rewards"):
            setattr(self, name, joined(getattr(self, name), getattr(other, name)))


@dataclass(frozen=True, kw_only=True)
class ShardOfEpisodes:
    """One shard to check."""

    path: Path
    shapes: EpisodeShapes | None
    """What all episodes must have; None where not one is good."""
    probe: Probe
    """How videos are looked at."""
    record: ShardRecord | None = None
    """What was packed; None where nobody says."""


def holds_episodes(folder: Path) -> bool:
    """Whether a set is of episodes: as its `index.json` says, or its first samples where none is.

    Raises PackError where `index.json` is damaged.
    """
    if (folder / "index.json").is_file():
        return read_index(folder).arguments.episodes is not None
    for path in _shards(folder):
        try:
            with open_shard(path) as file:
                table = scan(file)
        except BadVideo:
            continue
        if len(table):
            return any("npz" in table[row].spans for row in range(min(len(table), _LOOKED_AT)))
    return False


def check_episodes(folder: Path, probe: Probe, *, workers: int, timeout_s: float) -> EpisodesReport:
    """What every shard of the folder holds and what is wrong; PackError where there is none."""
    index = read_index(folder) if (folder / "index.json").is_file() else None
    records: dict[Path, ShardRecord | None] = dict.fromkeys(_shards(folder))
    if index is not None:
        records |= {shard_path(folder, record): record for record in index.shards}
    if not records:
        raise PackError(f"{folder}: holds no .tar; name the folder of the shards itself")
    shapes = _first_shapes(sorted(records))
    jobs = [
        ShardOfEpisodes(path=path, shapes=shapes, probe=probe, record=record)
        for path, record in sorted(records.items())
    ]
    report = EpisodesReport(shapes=shapes)
    report.problems += [] if index is None else unlisted(folder, index)
    for job, found in in_processes(check_shard, jobs, workers=workers, timeout_s=timeout_s):
        if isinstance(found, Lost):
            report.problems.append(f"{job.path.name}: {found.reason}, {found.detail}")
        else:
            report.merge(found)
    if not report.episodes and not report.problems:
        report.problems.append("not one episode is there")
    return report


def check_shard(job: ShardOfEpisodes, beat: Beat) -> EpisodesReport:
    """What one shard holds and what is wrong with it."""
    report = EpisodesReport(shards=1, shapes=job.shapes)
    try:
        with open_shard(job.path):
            report.bytes = job.path.stat().st_size
            if job.record is not None:
                report.problems += filter(None, [changed(job.path, job.record, beat)])
    except BadVideo as verdict:
        report.problems.append(f"{job.path.name}: {verdict.reason}, {verdict.detail}")
        return report
    files, keys = ShardSet([str(job.path)]), set[str]()
    draw = np.random.default_rng(zlib.crc32(job.path.name.encode()))  # of each shard its own
    for number in range(len(files)):
        beat()
        key = f"sample {number}"
        try:
            sample = _sample(files, number)
            key = sample.key
            if key in keys:
                raise BadEpisode("appears_twice")
            keys.add(key)
            episode = _episode(sample)
            _require_shapes(episode, job.shapes)
            _look_at_video(sample, episode, job.probe, report, beat)
        except BadEpisode as verdict:
            report.bad[verdict.reason] += 1
            report.problems.append(f"{job.path.name}: {key}: {verdict}")
            continue
        report.count(episode, draw)
    if files.num_stale:
        line = f"{job.path.name}: {INDEX_FILE} is of another shard; run `wmt data index FOLDER`"
        report.problems.append(line)
    return report


def _sample(files: ShardSet, number: int) -> EncodedSample:
    """A sample's files; raises BadEpisode."""
    try:
        return files.sample(number, WANTED)
    except SampleError as error:
        raise BadEpisode(error.skip.reason, error.skip.key) from error


def _episode(sample: EncodedSample) -> Episode:
    """The arrays of a sample; raises BadEpisode."""
    try:
        return episode_of(arrays_of(sample, most_bytes=EPISODE_MB << 20))
    except BadArraysError as error:
        raise BadEpisode(error.reason, error.detail) from error


def _require_shapes(episode: Episode, shapes: EpisodeShapes | None) -> None:
    """Raises BadEpisode where the episode is not like the first good one."""
    found = EpisodeShapes.of(episode, None)
    if found != shapes:
        assert shapes is not None, "the first good episode was looked for"
        raise BadEpisode("other_shape", "; ".join(found.differences(shapes)))


def _look_at_video(
    sample: EncodedSample, episode: Episode, probe: Probe, report: EpisodesReport, beat: Beat
) -> None:
    """Counts the frames of each video of an episode; raises BadEpisode where they do not fit."""
    videos = {name: content for name, content in sample.files.items() if name != "npz"}
    if not videos and episode.observations is None:
        raise BadEpisode("missing_array", "neither observations nor a video")
    for name, content in videos.items():
        of = "" if len(videos) == 1 else f" in the {name}"
        try:
            info = probe(io.BytesIO(content), beat)
        except BadVideo as verdict:
            raise BadEpisode(verdict.reason, verdict.detail + of) from verdict
        if info.frames != episode.length:
            detail = f"{info.frames} frames{of} beside {episode.length - 1} actions"
            raise BadEpisode("length_mismatch", detail)
        report.seconds += info.duration
        report.sizes[f"{info.width}x{info.height}"] += 1


def _first_shapes(paths: Sequence[Path]) -> EpisodeShapes | None:
    """The shapes of the first good episode; videos are not looked at."""
    return next(_good_shapes(paths), None)


def _good_shapes(paths: Sequence[Path]) -> Iterator[EpisodeShapes]:
    for path in paths:
        try:
            open_shard(path).close()
        except BadVideo:
            continue
        files = ShardSet([str(path)])
        for number in range(len(files)):
            try:
                sample = _sample(files, number)
                episode = _episode(sample)
            except BadEpisode:
                continue
            if episode.observations is not None or sample.has_video:
                yield EpisodeShapes.of(episode, None)


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tar"))
