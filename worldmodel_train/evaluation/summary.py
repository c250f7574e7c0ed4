"""The result in the terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.evaluation.result import EvaluationResult, Measurement
from worldmodel_train.evaluation.shown import shown, shown_of
from worldmodel_train.evaluation.task_result import UNTRAINED, Number
from worldmodel_train.evaluation.task_result import Table as ReportTable


def summary_tables(result: EvaluationResult) -> Iterator[Table]:
    """For each task a table: the trained model, and what it has to beat."""
    for measurement in result.measurements:
        yield _summary_table(measurement)


def shown_table(table: ReportTable) -> Table:
    """A table of the report as the terminal shows it."""
    drawn = Table(title=_text(table.caption), caption=_text(" ".join(table.remarks)) or None)
    drawn.add_column(_text(table.corner), overflow="fold")
    for column in table.columns:
        drawn.add_column(_text(column.name), justify="right")
    for row in table.rows:
        cells = (
            shown(cell, column.unit) for cell, column in zip(row.cells, table.columns, strict=True)
        )
        style = "bold" if row.look == "ours" else None
        drawn.add_row(_text(row.name), *map(_text, cells), style=style)
    return drawn


def _summary_table(measurement: Measurement) -> Table:
    """A row for each number; what is to beat is a column where all numbers have it."""
    result = measurement.result
    step = "" if measurement.step is None else f" at step {measurement.step}"
    claims = " ".join([f"{measurement.task}{step}:", *(one.claim for one in result.verdicts)])
    table = Table(
        title=_text(claims.rstrip(":")),
        caption=_text(result.caption) if result.caption else None,
    )
    columns = _of_all(result.numbers)
    alone = any(number.contenders.keys() - set(columns) for number in result.numbers)
    table.add_column("")
    for column in (*columns, *(["baseline"] if alone else [])):
        table.add_column(_text(column), justify="right")
    for number in result.numbers:
        table.add_row(_text(number.name), *_cells(number, columns))
        for name, measured in number.baselines.items():
            if name not in columns:
                baseline = _text(shown(measured, number.unit))
                table.add_row(_text(f"  {name}"), *[""] * len(columns), baseline)
    return table


def _of_all(numbers: Sequence[Number]) -> list[str]:
    """The contenders of all numbers, the untrained model next to the trained one."""
    names = [name for name in numbers[0].contenders if all(name in n.contenders for n in numbers)]
    return sorted(names, key=lambda name: (name != names[0], name != UNTRAINED))


def _cells(number: Number, columns: Sequence[str]) -> Iterator[Text]:
    for name in columns:
        yield _text(shown_of(number.contenders[name], number))


def _text(text: str) -> Text:
    return Text(printable(text))
