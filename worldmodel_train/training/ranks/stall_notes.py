"""Notes by which ranks that stall tell each other what they are doing.

A note is a small file in `run_dir/stalls`, written only once a rank has stalled: a run that goes
well writes nothing. Who left no note although all others did is the one to look at, even where its
process is stopped or its node is gone.
"""

import logging
import socket
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.json_text import JsonError, parse_model
from worldmodel_train.config.plain_file import PlainFileError, read_plain
from worldmodel_train.training.clock import Activity

logger = logging.getLogger(__name__)

DOING: dict[Activity, str] = {
    "starting": "starting",
    "data": "waiting for data",
    "step": "in a step",
    "pause": "saving or drawing",
}
_LARGEST = 4096  # bytes of a note
_NAMED = 4  # more ranks than that are not named one by one


class Note(StrictConfig):
    """What a rank has been doing for too long."""

    rank: int
    node: str
    activity: Activity
    since: float
    """Seconds of the wall clock, on which nodes agree well enough."""

    def __str__(self) -> str:
        seconds = max(0.0, time.time() - self.since)
        return f"rank {self.rank} ({self.node}) is {DOING[self.activity]}, {seconds:.1f} s now"


class StallNotes:
    """The notes of one run, where all ranks see its directory."""

    def __init__(self, run_dir: Path, *, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size
        self.node = socket.gethostname()
        self._folder = run_dir / "stalls"

    def leave(self, activity: Activity, *, waited: float) -> None:
        """Says what this rank has been doing for `waited` seconds."""
        since = time.time() - waited
        note = Note(rank=self.rank, node=self.node, activity=activity, since=since)
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._path(self.rank).with_suffix(".tmp")
        beside.write_text(note.model_dump_json())
        beside.replace(self._path(self.rank))

    def remove(self) -> None:
        """Takes this rank's note away, also one that was left by a start that was killed."""
        self._path(self.rank).unlink(missing_ok=True)

    def is_lowest(self) -> bool:
        """Whether no rank before this one has left a note."""
        return not any(self._path(rank).exists() for rank in range(self.rank))

    def others(self, activity: Activity) -> str:
        """Who does something else than `activity` for too long, or left no note at all."""
        notes = self._read()
        busy = [note for note in notes if note.activity != activity]
        named = list(map(str, busy)) if len(busy) <= _NAMED else _grouped(busy)
        silent = set(range(self.world_size)) - {note.rank for note in notes} - {self.rank}
        if silent:
            who = "rank" if len(silent) == 1 else "ranks"
            named.append(f"{who} {ranges(silent)} left no note: busy, stopped or gone")
        return "; ".join(named) or "so are all other ranks"

    def _read(self) -> list[Note]:
        notes: list[Note] = []
        for rank in range(self.world_size):
            path = self._path(rank)
            try:
                notes.append(parse_model(Note, read_plain(path, _LARGEST), path))
            except FileNotFoundError:
                continue
            except (JsonError, PlainFileError) as error:
                logger.warning("passed over a note of a rank that waits: %s", error)
        return notes

    def _path(self, rank: int) -> Path:
        return self._folder / f"rank_{rank:05d}.json"


def ranges(numbers: Iterable[int]) -> str:
    """Numbers with their runs joined, such as `0-2, 5`."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _grouped(notes: Iterable[Note]) -> list[str]:
    ranks: dict[Activity, list[int]] = {}
    for note in notes:
        ranks.setdefault(note.activity, []).append(note.rank)
    return [f"ranks {ranges(those)} are {DOING[activity]}" for activity, those in ranks.items()]
