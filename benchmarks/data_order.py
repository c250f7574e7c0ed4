"""What the order of samples costs at scale: start-up, memory, time per sample. No GPU, no videos.

    python benchmarks/data_order.py                      # 1,000,000 shards of about 1,000 samples
    python benchmarks/data_order.py --shards 10000 --repeats 3

The shards are empty files and the rows of their index a hole in a file: what is measured reads
neither. Everything lies in a temporary folder (--folder: on which disk) that is removed at the end.
"""

import argparse
import io
import multiprocessing
import os
import pickle
import random
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.mixture import Mixture
from worldmodel_train.data.packing.index_folder import index_folder
from worldmodel_train.data.shards.folder_index import INDEX_FILE, write_directory
from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.tar_index import read_shard_table
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.data.source_order import SourceOrder
from worldmodel_train.data.stream_positions import StreamPosition
from worldmodel_train.evaluation.machine import describe_machine

RANKS, WORKERS, MICRO_BATCH, GLOBAL_BATCH = 1024, 8, 3, 3072
SAMPLES_PER_SHARD = 1000
Result = dict[str, float]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        large, small = Path(name, "large"), Path(name, "small")
        sys.stderr.write(f"making {arguments.shards} empty shards in {name}\n")
        make_simulated_set(large, arguments.shards)
        make_real_shard(small)
        runs = [
            measured_apart(part, folder)
            for part, folder in ((start_up, large), (workers_memory, large), (per_sample, large))
            for _ in range(arguments.repeats)
        ]
        runs += [measured_apart(first_touch, small) for _ in range(arguments.repeats)]
        runs += [measured_apart(stream_state, small) for _ in range(arguments.repeats)]
    print_table(runs, f"{arguments.shards:,} shards, {RANKS:,} ranks x {WORKERS} workers")


def make_simulated_set(folder: Path, num_shards: int) -> None:
    """A folder of empty files with an index that says what they would hold."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    samples = rng.integers(SAMPLES_PER_SHARD * 9 // 10, SAMPLES_PER_SHARD * 11 // 10, num_shards)
    names = [f"shard-{i:06d}.tar" for i in range(num_shards)]
    for name in names:
        os.close(os.open(folder / name, os.O_CREAT))
    places = 64 + 80 * (np.cumsum(samples) - samples)  # a row and a key take about 80 bytes
    with (folder / INDEX_FILE).open("wb") as file:
        file.seek(64 + 80 * int(samples.sum()))
        rows = zip(names, samples.tolist(), places.tolist(), strict=True)
        write_directory(file, [(n.encode(), 10**9, count, place) for n, count, place in rows])


def make_real_shard(folder: Path) -> None:
    """One shard of a thousand small samples, and its index."""
    folder.mkdir()
    with tarfile.open(folder / "shard-000000.tar", "w") as tar:
        for i in range(SAMPLES_PER_SHARD):
            for name, content in ((f"{i:06d}.mp4", b"v" * 20_000), (f"{i:06d}.json", b"{}")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    index_folder(folder, workers=1, timeout_s=600.0)


def source_of(folder: Path) -> SourceConfig:
    """A recipe's source that names every shard of the folder."""
    return SourceConfig(shards=f"{folder}/*.tar", clip=ClipConfig(frames=16))


def start_up(folder: Path) -> Result:
    """What each rank does before its first batch: find the shards, read their index."""
    before, begin = memory("Rss"), time.perf_counter()
    shards = resolve_shards(source_of(folder))
    found = time.perf_counter()
    source = IndexedSource("videos", shards, seed=0, number=0)
    end, after = time.perf_counter(), memory("Rss")
    copied = len(pickle.dumps(source))
    for path in list(shards):
        Path(path).stat()
    return {
        "start-up: list the folder|s": found - begin,
        "start-up: read the index|s": end - found,
        "start-up: both|s": end - begin,
        "memory a rank keeps|MB": (after - before) / 1e6,
        "peak memory while starting|MB": (peak_memory() - before) / 1e6,
        "copy for a worker that is spawned|MB": copied / 1e6,
        "for comparison: a stat of each shard|s": time.perf_counter() - end,
    }


def workers_memory(folder: Path) -> Result:
    """What a forked worker takes of its own once it has drawn and located 2,000 samples."""
    shards = ShardSet(resolve_shards(source_of(folder)))
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=in_worker, args=(shards, theirs))
    child.start()
    before, after = ours.recv()
    child.join()
    return {"memory of its own a forked worker adds|MB": (after - before) / 1e6}


def in_worker(shards: ShardSet, pipe: Connection) -> None:
    """Sends this worker's private memory before and after its samples."""
    before = memory("Private_Dirty")
    consume(shards, micro_batches=2000 // MICRO_BATCH)
    pipe.send((before, memory("Private_Dirty")))


def per_sample(folder: Path) -> Result:
    """Source, number, shard and row of samples of random ranks and workers."""
    shards = ShardSet(resolve_shards(source_of(folder)))
    consume(shards, micro_batches=10)
    begin = time.perf_counter()
    drawn = consume(shards, micro_batches=2000)
    return {
        "order and place of a sample|us": (time.perf_counter() - begin) / drawn * 1e6,
    }


def consume(shards: ShardSet, micro_batches: int) -> int:
    """Draw and locate micro-batches of random ranks and workers; how many samples that were."""
    mixture, order = Mixture([1.0], 0), SourceOrder(len(shards), seed=0, number=0)
    rng = random.Random(0)
    for _ in range(micro_batches):
        position = LoaderPosition(
            seed=0,
            rank=rng.randrange(RANKS),
            world_size=RANKS,
            micro_batch=MICRO_BATCH,
            global_batch=GLOBAL_BATCH,
            first_step=rng.randrange(100_000),
        )
        worker = rng.randrange(WORKERS)
        first = position.first_sample(next(position.micro_batches(worker, WORKERS)))
        for sample in range(first, first + MICRO_BATCH):
            shards.find(order.number_at(mixture.draw(sample).position, 0))
    return micro_batches * MICRO_BATCH


def first_touch(folder: Path) -> Result:
    """What the first sample of a shard costs: with its rows, and by a scan of its headers."""
    shards = ShardSet(resolve_shards(source_of(folder)))
    shards.video(0)
    begin = time.perf_counter()
    for number in range(len(shards)):
        shards.video(number)
    indexed = time.perf_counter()
    read_shard_table(folder / "shard-000000.tar")
    scanned = time.perf_counter()
    return {
        "a sample's bytes (20 kB) by the index|us": (indexed - begin) / len(shards) * 1e6,
        "for comparison: a scan of 1,000 samples|us": (scanned - indexed) * 1e6,
        "index per sample|bytes": (folder / INDEX_FILE).stat().st_size / len(shards),
    }


def stream_state(folder: Path) -> Result:
    """Merging what all loading processes of a run say of a stream."""
    del folder
    rng = random.Random(0)
    finished = [100 + rng.randrange(20) for _ in range(RANKS * WORKERS)]
    begin = time.perf_counter()
    position = StreamPosition(shards=1_000_000).after(finished)
    end = time.perf_counter()
    return {
        "merge a stream's position of all processes|ms": (end - begin) * 1e3,
        "numbers that position takes|numbers": 2.0 + len(position.beyond),
    }


def measured_apart(part: Callable[[Path], Result], folder: Path) -> Result:
    """What a part says, in a fresh process, so that memory is its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=send_result, args=(part, folder, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def send_result(part: Callable[[Path], Result], folder: Path, pipe: Connection) -> None:
    """Runs in the fresh process."""
    pipe.send(part(folder))


def memory(kind: str) -> int:
    """Bytes of this process, as Linux counts them now: Rss, Private_Dirty ..."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/smaps_rollup does not count {kind}")


def peak_memory() -> int:
    """The most bytes this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def print_table(runs: Sequence[Result], title: str) -> None:
    """Median and range of each number over the repeats."""
    machine = describe_machine(torch.device("cpu"))
    table = Table(title=f"{title}\n{machine.processor}, {machine.num_cores} cores")
    for heading in ("", "median", "least", "most", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    names = list(dict.fromkeys(name for run in runs for name in run))
    for name in names:
        values = [run[name] for run in runs if name in run]
        label, unit = name.split("|")
        shown = [f"{x:,.3g}" for x in (statistics.median(values), min(values), max(values))]
        table.add_row(label, *shown, unit)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
