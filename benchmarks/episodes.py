"""Windows per second of a core: of episodes that are read again and again, and of kept ones.

`python -m benchmarks.episodes [LENGTH ...]`: episodes of so many pictures of 64 x 64, windows of
two. `np.load` is what the shortest dataset does: it loads an episode from a file of its own, and
cuts the window out.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from benchmarks.device import choose_device, describe, headline
from benchmarks.results import IncorrectError, ResultTable, markdown, number, with_quartiles
from benchmarks.timing import Timing, interleaved
from worldmodel_train.batch import Batch
from worldmodel_train.data.config import LoaderConfig
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.write import npz_of, write_episodes
from worldmodel_train.types import Trajectories

LENGTHS = (21, 101, 401)
EPISODES, STEPS, BATCH, SIDE, ROUNDS = 40, 2, 64, 64, 7
NUMPY, ANEW = "np.load", "read anew"
KEPT_MB = {ANEW: 0, "pictures in the shard": 1, "kept whole": 1 << 10}


def main() -> None:
    """Measures each length, and prints a table."""
    device = choose_device("cpu", threads=1)
    rows = [row_of(int(length), device) for length in sys.argv[1:] or LENGTHS]
    rates = [f"{name}, windows/s" for name in (NUMPY, *KEPT_MB)]
    ratios = [f"{name}: over {ANEW}" for name in KEPT_MB if name != ANEW]
    headings = ["pictures of an episode", "MB of an episode", *rates, *ratios]
    notes = ["batches are bit-equal, kept or not (checked)", "in the loading process alone"]
    table = ResultTable(title="Windows of episodes", headings=headings, rows=rows, notes=notes)
    sys.stdout.write(f"{markdown(table)}\n\n{headline(describe(device))}\n")


def row_of(length: int, device: torch.device) -> list[str]:
    """Rates with episodes of this length."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        episodes = [_episode(number, length) for number in range(EPISODES)]
        write_episodes(folder, episodes)
        for place, episode in enumerate(episodes):
            (folder / f"{place}.npz").write_bytes(npz_of(episode))
        check(folder)
        calls = {name: _call(folder, kept_mb) for name, kept_mb in KEPT_MB.items()}
        found = interleaved(
            {NUMPY: _by_numpy(folder), **calls}, device, rounds=ROUNDS, warmup=2, least_s=0.2
        )
    ratios = [found[ANEW].ratio_to(found[name]) for name in KEPT_MB if name != ANEW]
    megabytes = number(length * SIDE * SIDE * 3 / 1e6)
    return [str(length), megabytes, *map(_rate, found.values()), *map(with_quartiles, ratios)]


def _call(folder: Path, kept_mb: int) -> Callable[[], object]:
    """Makes the next batch, behind a whole epoch."""
    made = batches(folder, kept_mb)
    for _ in range(-(-EPISODES // BATCH)):
        next(made)
    return lambda: next(made)


def check(folder: Path) -> None:
    """Whether three epochs of batches hold the same, kept or not.

    Raises:
        IncorrectError: They do not.
    """
    made = zip(*(batches(folder, kept) for kept in KEPT_MB.values()), strict=True)
    for first, *others in islice(made, -(-3 * EPISODES // BATCH)):
        for other in others:
            if not torch.equal(first.content.observations, other.content.observations):
                raise IncorrectError("a window of a kept episode is another")


def batches(folder: Path, kept_mb: int) -> Iterator[Batch[Trajectories]]:
    """The batches of a run, made in this process."""
    config = TrajectoriesConfig(
        name="data/trajectories", steps=STEPS, kept_mb=kept_mb,
        sources=(ShardsConfig(shards=str(folder / "*.tar")),), loader=LoaderConfig(workers=0),
    )  # fmt: skip
    position = LoaderPosition(
        seed=0, rank=0, world_size=1, micro_batch=BATCH, global_batch=BATCH, first_step=0
    )
    return iter(config.build_loader(None, position))


def _episode(number: int, length: int) -> Episode:
    rng = np.random.default_rng(number)
    return Episode(
        observations=rng.integers(0, 256, (length, SIDE, SIDE, 3), np.uint8),
        actions=rng.random((length - 1, 2), np.float32),
        states=rng.random((length, 2), np.float32),
        rewards=np.zeros(length - 1, np.float32),
        ends=np.zeros(length - 1, bool),
    )


def _by_numpy(folder: Path) -> Callable[[], object]:
    """Cuts a batch of windows out of files that lie apart, by the shortest code."""
    rng = np.random.default_rng(0)

    def window() -> dict[str, np.ndarray]:
        with np.load(folder / f"{rng.integers(EPISODES)}.npz") as arrays:
            start = int(rng.integers(len(arrays["actions"])))
            return {name: arrays[name][start : start + STEPS] for name in arrays.files}

    return lambda: [window() for _ in range(BATCH)]


def _rate(timing: Timing) -> str:
    """Windows per second of the clock that counts."""
    return with_quartiles(timing.seconds.map(lambda seconds: BATCH / seconds))


if __name__ == "__main__":
    main()
