"""Measured runs side by side: the same recipe with other seeds, say, or methods with each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.evaluation.result import EvaluationResult
from worldmodel_train.evaluation.shown import shown
from worldmodel_train.evaluation.task_result import Measured, Unit, once

MISSING = "-"


@dataclass(frozen=True)
class _Row:
    """A number, and whose it is."""

    task: str
    number: str
    contender: str
    unit: Unit


def comparison_table(results: Mapping[str, EvaluationResult]) -> Table:
    """One column for each run, and the mean and standard deviation over those that have a number.

    The rows are all numbers that any of the runs has.
    """
    columns = [dict(_numbers(result)) for result in results.values()]
    table = Table(title=f"{len(results)} runs", caption=_measured_otherwise(results))
    table.add_column("")
    for heading in (*results, "mean ± sd"):
        table.add_column(Text(printable(heading, 60)), justify="right")
    rows = list(dict.fromkeys(row for column in columns for row in column))
    # a task's rows together, and a number's, whichever run has them first
    tasks = list(dict.fromkeys(row.task for row in rows))
    numbers = list(dict.fromkeys(row.number for row in rows))
    rows.sort(key=lambda row: (tasks.index(row.task), numbers.index(row.number)))
    for task, of_task in groupby(rows, key=lambda row: row.task):
        table.add_section()
        table.add_row(Text(printable(task), style="bold"))
        for row in of_task:
            table.add_row(*_cells(row, [column.get(row) for column in columns]))
    return table


def _numbers(result: EvaluationResult) -> Iterator[tuple[_Row, float]]:
    for measurement in result.measurements:
        for number in measurement.result.numbers:
            for contender, measured in number.contenders.items():
                row = _Row(measurement.task, number.name, contender, number.unit)
                yield row, measured.mean


def _cells(row: _Row, values: list[float | None]) -> Iterator[Text]:
    yield Text(printable(f"{row.number}, {row.contender}"))
    for value in values:
        yield Text(MISSING if value is None else shown(once(value), row.unit))
    known = tuple(value for value in values if value is not None)
    yield Text(shown(Measured(values=known), row.unit) if len(known) > 1 else MISSING)


def _measured_otherwise(results: Mapping[str, EvaluationResult]) -> Text | None:
    """Which tasks were not measured alike everywhere, so that their rows do not compare."""
    ways: dict[str, set[str]] = {}
    for result in results.values():
        for measurement in result.measurements:
            way = f"{measurement.result.measured_on} {sorted(measurement.settings.items())}"
            ways.setdefault(measurement.task, set()).add(way)
    several = [task for task, found in ways.items() if len(found) > 1]
    if not several:
        return None
    return Text(
        printable(f"not known to have been measured alike in all runs: {', '.join(several)}")
    )
