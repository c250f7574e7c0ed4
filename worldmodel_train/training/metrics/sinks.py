"""Where readings go: `metrics.jsonl` and TensorBoard."""

import json
import logging
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch.utils.tensorboard.writer import SummaryWriter

from worldmodel_train.config.plain_file import PlainFileError, read_plain
from worldmodel_train.training.step_metrics import StepMetrics

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
HEALTH = {
    "loss: falls, without jumps": ["Multiline", ["^loss$"]],
    "RankMe and LiDAR of the targets: stay": ["Multiline", ["monitors/target_(rankme|lidar)"]],
    "std per dimension: stays": ["Multiline", ["monitors/(target|predicted)_std"]],
    "pairwise cosine: stays below 1": ["Multiline", ["monitors/(target|predicted)_cosine"]],
    "attention's entropy: well above 0": ["Multiline", ["monitors/attention_entropy"]],
    "teacher's distance: above 0, below 0.8": ["Multiline", ["monitors/teacher_distance"]],
    "gradient norms: no jumps": ["Multiline", ["^grad_norm"]],
    "share of time waiting for data: below 0.3": ["Multiline", ["data_wait"]],
    "loss of each mask group": ["Multiline", ["^terms/mask_"]],
    "online probe: rises, above pixels": ["Multiline", ["^online_probe/"]],
}
"""The charts of the dashboard `health`: what each must look like, and regular expressions of its
curves. A chart that a run has no curves for stays empty."""
_LARGEST = 1 << 32  # bytes
_REMEDY = "move the file away and start again: the run itself is whole, and begins a new one"


@runtime_checkable
class Sink(Protocol):
    """Takes readings."""

    def write(self, metrics: StepMetrics, skipped: Mapping[str, int]) -> None:
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

    def write(self, metrics: StepMetrics, skipped: Mapping[str, int]) -> None:
        """Appends one line; what is not finite becomes null, which every JSON reader knows."""
        line: dict[str, object] = {"step": metrics.step}
        for name, value in metrics.values.items():
            _put(line, name, value if math.isfinite(value) else None)
        line["skipped"] = dict(skipped)
        if metrics.alarms:
            line["alarms"] = dict(metrics.alarms)
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Each line was flushed when it was written."""


class TensorBoard:
    """Curves and pictures; one directory for all starts of a run."""

    def __init__(self, run_dir: Path, *, first_step: int) -> None:
        # purge_step hides what an interrupted start wrote after the checkpoint
        self.writer = SummaryWriter(str(run_dir / TENSORBOARD), purge_step=first_step + 1)
        self.writer.add_custom_scalars({"health": HEALTH})

    def write(self, metrics: StepMetrics, skipped: Mapping[str, int]) -> None:
        """One point on each curve."""
        for name, value in metrics.values.items():
            self.writer.add_scalar(name, value, metrics.step)
        for reason, count in skipped.items():
            self.writer.add_scalar(f"data/skipped/{reason}", count, metrics.step)
        for name, text in metrics.alarms.items():
            self.writer.add_text(f"alarms/{name}", text, metrics.step)

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
    """Keeps the lines up to `last_step`; what a crash has done to the lines after it goes as well.

    Raises:
        ValueError: A line before that is damaged.
    """
    try:
        lines = read_plain(path, _LARGEST).split(b"\n")
    except FileNotFoundError:
        return
    except PlainFileError as error:
        raise ValueError(f"{error}; {_REMEDY}") from None
    steps = [_step(line) for line in lines]
    end = max((n for n, step in enumerate(steps, start=1) if step <= last_step), default=0)
    for number, (before, step) in enumerate(pairwise([-math.inf, *steps[:end]]), start=1):
        if step == math.inf or step <= before:
            raise ValueError(
                f"{path}: line {number} is damaged; mend it or take it out, or {_REMEDY}"
            )
    unreadable = sum(_step(line) == math.inf for line in lines[end:] if line.strip())
    if unreadable:
        logger.warning("%s: lines at its end that cannot be read are cut: %d", path, unreadable)
    beside = path.with_suffix(".tmp")
    beside.write_bytes(b"".join(line + b"\n" for line in lines[:end]))
    beside.replace(path)


def _step(line: bytes) -> int | float:
    """The step that a line is about; infinite where it is no reading."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
    return step if isinstance(step, int) else math.inf
