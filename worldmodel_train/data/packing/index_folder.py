"""Makes `samples.idx` of a folder of shards that are there already."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.pool import Lost, in_processes
from worldmodel_train.data.packing.read import compressed_shards, compression
from worldmodel_train.data.shards.find_files import list_files
from worldmodel_train.data.shards.folder_index import (
    INDEX_FILE,
    IndexedShard,
    write_folder_index,
)
from worldmodel_train.data.shards.shard_table import ShardSample
from worldmodel_train.data.shards.tar_index import scan
from worldmodel_train.data.shards.wanted_files import EPISODES, VIDEOS


@dataclass
class IndexReport:
    """What was indexed, and what could not be."""

    shards: int = 0
    samples: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    """Samples that training will leave out, by reason."""
    lost: list[str] = field(default_factory=list)
    """Shards that could not be scanned; they are not in the index."""

    def lines(self, folder: Path) -> list[str]:
        """One line for the index, and one for each kind of trouble."""
        lines = [f"{folder / INDEX_FILE}: {self.samples} samples in {self.shards} shards"]
        if self.unusable:
            reasons = ", ".join(f"{n} {reason}" for reason, n in self.unusable.most_common())
            lines.append(f"of these unusable: {reasons}")
        return lines + [f"left out {line}" for line in self.lost]


@dataclass(frozen=True, kw_only=True)
class ScannedShard:
    """A shard as it was when it was scanned."""

    shard: IndexedShard
    problems: Counter[str]


def index_folder(folder: Path, *, workers: int, timeout_s: float) -> IndexReport:
    """Scan the folder's tars and write its index; PackError where there are none."""
    if not folder.is_dir():
        raise PackError(f"{folder}: no such folder")
    paths = [folder / os.fsdecode(name) for name in list_files(str(folder))]
    paths = [path for path in paths if path.suffix == ".tar"]
    if not paths:
        hint = compressed_shards(folder) or "name the folder of the shards itself"
        raise PackError(f"{folder}: holds no .tar; {hint}")
    report = IndexReport()
    scanned = in_processes(scan_shard, paths, workers=workers, timeout_s=timeout_s)
    with closing(scanned):  # a full disk leaves no process behind
        write_folder_index(folder / INDEX_FILE, _kept(scanned, report))
    return report


def scan_shard(path: Path, beat: Callable[[], None]) -> ScannedShard | Lost:
    """The shard's size, samples and what keeps them from being videos, or episodes."""
    del beat
    with path.open("rb") as file:
        if packer := compression(file):
            return Lost(reason="compressed", detail=f"with {packer}: decompress it")
        num_bytes = os.fstat(file.fileno()).st_size
        table = scan(file)
    problems = Counter(_problem(table[row]) for row in range(len(table)))
    del problems[""]
    return ScannedShard(shard=IndexedShard(path.name, num_bytes, table), problems=problems)


def _problem(sample: ShardSample) -> str:
    """Why training leaves a sample out; one with arrays is an episode."""
    return (EPISODES if "npz" in sample.spans else VIDEOS).problem(sample)


def _kept(
    scanned: Iterable[tuple[Path, ScannedShard | Lost]], report: IndexReport
) -> Iterator[IndexedShard]:
    for path, outcome in scanned:
        if isinstance(outcome, Lost):
            report.lost.append(f"{path.name}: {outcome.reason}, {outcome.detail}")
            continue
        report.shards += 1
        report.samples += len(outcome.shard.table)
        report.unusable.update(outcome.problems)
        yield outcome.shard
