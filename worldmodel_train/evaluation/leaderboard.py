"""`leaderboard.csv` beside the runs: a row for each number of each evaluation, for good.

A run's `evaluation.json` keeps what was found last; here nothing is replaced.
"""

import csv
import fcntl
import io
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from worldmodel_train.config.printable import printable
from worldmodel_train.evaluation.result import Measurement
from worldmodel_train.evaluation.task_result import UNTRAINED, Measured, Number

LEADERBOARD_FILE = "leaderboard.csv"
COLUMNS: tuple[str, ...] = (
    "time", "run", "recipe", "method", "step", "task", "number", "value", "spread",
    "best_baseline", "best_baseline_value", "untrained", "measured_on", "seconds", "processor",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")
_LONGEST_CELL = 1000  # characters

_log = logging.getLogger(__name__)

Row = dict[str, str | int | float | None]


def append_to_leaderboard(
    run_dir: Path, *, recipe: str, method: str, measurement: Measurement
) -> Path | None:
    """The leaderboard beside `run_dir`, with the measurement's numbers at its end.

    None where it cannot be written, which a warning says: what was measured is kept with the run.
    Processes that append at once wait for each other.
    """
    run_dir = run_dir.resolve()
    path = run_dir.parent / LEADERBOARD_FILE
    now = datetime.now(UTC).isoformat(timespec="seconds")
    same: Row = {"time": now, "run": run_dir.name, "recipe": recipe, "method": method}
    rows = [same | row for row in _rows(measurement)]
    try:
        _append(path, rows)
    except (OSError, ValueError) as error:
        _log.warning("nothing was added to the leaderboard: %s", error)
        return None
    return path


def _rows(measurement: Measurement) -> Iterator[Row]:
    for number in measurement.result.numbers:
        yield {
            "step": measurement.step,
            "task": measurement.task,
            **_scores(number),
            "measured_on": measurement.result.measured_on,
            "seconds": round(measurement.seconds, 1),
            "processor": f"{measurement.machine.processor} ({measurement.machine.device})",
        }


def _scores(number: Number) -> Row:
    best = number.best_baseline
    return {
        "number": number.name,
        "value": number.trained.mean,
        "spread": number.trained.spread if len(number.trained.values) > 1 else None,
        "best_baseline": best,
        "best_baseline_value": None if best is None else number.baselines[best].mean,
        "untrained": _mean(number.baselines.get(UNTRAINED)),
    }


def _mean(measured: Measured | None) -> float | None:
    return None if measured is None else measured.mean


def _append(path: Path, rows: list[Row]) -> None:
    """Adds rows under a lock, and the header to a new file.

    Raises:
        ValueError: The file's columns are others.
    """
    header = _text([dict(zip(COLUMNS, COLUMNS, strict=True))])
    with open(path, "a+b", opener=_open) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed
        file.seek(0)
        first = file.readline(4096).rstrip(b"\r\n")
        if first and first != header.rstrip():
            raise ValueError(f"{path} has other columns than {', '.join(COLUMNS)}; move it away")
        size = file.seek(0, os.SEEK_END)
        torn = b"\n" if size and not _ends_a_line(file, size) else b""
        file.write(torn + (b"" if first else header) + _text(rows))


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)  # a pipe is not waited for


def _ends_a_line(file: io.BufferedRandom, size: int) -> bool:
    """Whether the last row is whole: a program may have died while it wrote it."""
    file.seek(size - 1)
    return file.read(1) == b"\n"


def _text(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _cell(value: str | float | None) -> str | float | None:
    """The value on one line, which no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value, _LONGEST_CELL)
    return f"'{text}" if text.startswith(_FORMULA) else text
