"""Where readings go: `metrics.jsonl` and TensorBoard."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch.utils.tensorboard.writer import SummaryWriter

from worldmodel_train.training.readings.reading import Reading

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


@runtime_checkable
class Sink(Protocol):
    """Takes readings."""

    def write(self, reading: Reading, skipped: Mapping[str, int]) -> None:
        """Stores one reading, and the samples skipped so far by reason."""
        ...

    def close(self) -> None:
        """Flushes what is left."""
        ...


class MetricsFile:
    """One JSON line for each reading, whole lines only."""

    def __init__(self, run_dir: Path, *, first_step: int) -> None:
        self._path = run_dir / METRICS
        _cut(self._path, first_step)

    def write(self, reading: Reading, skipped: Mapping[str, int]) -> None:
        """Appends one line; what is not finite becomes null, which every JSON reader knows."""
        line: dict[str, object] = {"step": reading.step}
        for name, value in reading.values.items():
            _put(line, name, value if math.isfinite(value) else None)
        line["skipped"] = dict(skipped)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Each line was flushed when it was written."""


class TensorBoard:
    """Curves and pictures; one directory for all starts of a run."""

    def __init__(self, run_dir: Path, *, first_step: int) -> None:
        # purge_step hides what an interrupted start wrote after the checkpoint
        self.writer = SummaryWriter(str(run_dir / TENSORBOARD), purge_step=first_step + 1)

    def write(self, reading: Reading, skipped: Mapping[str, int]) -> None:
        """One point on each curve."""
        for name, value in reading.values.items():
            self.writer.add_scalar(name, value, reading.step)
        for reason, count in skipped.items():
            self.writer.add_scalar(f"data/skipped/{reason}", count, reading.step)

    def close(self) -> None:
        """Flushes and closes the event file."""
        self.writer.close()


def _put(line: dict[str, object], name: str, value: float | None) -> None:
    group, _, rest = name.rpartition("/")
    if not group:
        line[name] = value
        return
    nested = line.setdefault(group, {})
    assert isinstance(nested, dict)
    nested[rest] = value


def _cut(path: Path, last_step: int) -> None:
    """Keeps the lines up to `last_step`; a line that a kill cut in half goes as well."""
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines() if _step(line) <= last_step]
    beside = path.with_suffix(".tmp")
    beside.write_text("".join(f"{line}\n" for line in kept))
    beside.replace(path)


def _step(line: str) -> int | float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
