"""What was measured of a run, task by task, kept as `evaluation.json`."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from worldmodel_train.config.json_text import JsonError, parse_model, parse_object
from worldmodel_train.config.plain_file import PlainFileError, read_plain
from worldmodel_train.evaluation.task_result import Record, TaskResult

RESULT_FILE = "evaluation.json"
_LARGEST = 1 << 28  # bytes


class Machine(Record):
    """Where and with what the evaluation ran."""

    processor: str
    num_cores: int
    device: str
    versions: dict[str, str]


class Measurement(Record):
    """A task's result, and how it came about."""

    task: str
    settings: dict[str, Any]
    """What the recipe said of the task, defaults written out."""
    step: int | None
    """The checkpoint's; None where an earlier version did not note it."""
    result: TaskResult
    machine: Machine
    seconds: float

    def on_shards(self, shards: tuple[str, ...]) -> "Measurement":
        """The same, which says that it was measured on these and not on what the recipe names."""
        if not shards:
            return self
        measured_on = f"{self.result.measured_on} (of {', '.join(shards)})"
        return self.model_copy(
            update={
                "settings": {**self.settings, "data.held_out.shards": list(shards)},
                "result": self.result.model_copy(update={"measured_on": measured_on}),
            }
        )


class EvaluationResult(Record):
    """Everything the report tells, except curves and recipe, which the run directory holds."""

    version: Literal[2] = 2
    name: str
    """Of the recipe."""
    measurements: tuple[Measurement, ...]

    def at_step(self, step: int) -> "EvaluationResult":
        """What was measured of the checkpoint of that step."""
        of_step = tuple(one for one in self.measurements if one.step == step)
        return self.model_copy(update={"measurements": of_step})

    def with_measurements(self, new: Iterable[Measurement]) -> "EvaluationResult":
        """The same with `new` in the place of what the same tasks found before."""
        by_task = {measurement.task: measurement for measurement in (*self.measurements, *new)}
        return self.model_copy(update={"measurements": tuple(by_task.values())})


def save_result(result: EvaluationResult, run_dir: Path) -> Path:
    """The path of the written `evaluation.json`, replaced in one step and never half written."""
    path = run_dir / RESULT_FILE
    temporary = path.with_name(f".{RESULT_FILE}.{os.getpid()}")
    temporary.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def load_result(run_dir: Path) -> EvaluationResult:
    """The result in `run_dir`, whichever version of this program wrote it.

    Raises:
        ValueError: The file is damaged, or of a later version.
    """
    path = run_dir / RESULT_FILE
    try:
        text = read_plain(path, _LARGEST)
        if "version" in parse_object(text, path):
            return parse_model(EvaluationResult, text, path)
        from worldmodel_train.evaluation.first_result import FirstResult, as_result

        return as_result(parse_model(FirstResult, text, path))
    except (JsonError, PlainFileError) as error:
        raise ValueError(
            f"{error}; remove the file and measure the run again with `wmt eval {run_dir}`"
        ) from None
