"""What a task found: numbers beside baselines, tables, pictures, and words for the report."""

from collections.abc import Iterable
from math import isnan, sqrt
from statistics import fmean
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["number", "percent", "rank", "count"]
"""How a value is shown: three decimals, a share in percent, one decimal, or whole."""

TRAINED, UNTRAINED = "trained", "untrained"
"""The contenders of every number; the second is the baseline that a task can always give."""


class Record(BaseModel):
    """A frozen part of what is kept as JSON."""

    # NaN (nothing to explain) is written as the string "NaN": bare NaN is not JSON
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Measured(Record):
    """One number measured several times: over draws of masks or noise, or over splits."""

    values: tuple[float, ...] = Field(min_length=1)

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return fmean(self.values)

    @property
    def spread(self) -> float:
        """The standard deviation of the values (divisor: one less than their number); 0 for one."""
        squares = sum((value - self.mean) ** 2 for value in self.values)
        return sqrt(squares / max(1, len(self.values) - 1))


def once(value: float | int) -> Measured:
    """A number that was measured once."""
    return Measured(values=(float(value),))


class Number(Record):
    """What the trained model scores, beside what has to be beaten."""

    name: str
    """The same in every run, so that `wmt compare` finds it."""
    unit: Unit = "number"
    out_of: int | None = None
    """The most that there can be."""
    lower_is_better: bool = False
    """As of a loss."""
    trained: Measured
    baselines: dict[str, Measured] = {}
    """By name; the model as it was before training is `untrained`."""

    @property
    def contenders(self) -> dict[str, Measured]:
        """The trained model, then the baselines."""
        return {TRAINED: self.trained, **self.baselines}

    @property
    def best_baseline(self) -> str | None:
        """The baseline that is hardest to beat, but for the untrained model; None without any."""
        means = {name: one.mean for name, one in self.baselines.items() if name != UNTRAINED}
        known = {name: mean for name, mean in means.items() if not isnan(mean)}
        best = min if self.lower_is_better else max
        return best(known, key=lambda name: known[name], default=None)


class Verdict(Record):
    """A claim at the head of the report, and the numbers that it rests on."""

    good: bool
    claim: str
    text: str


class Column(Record):
    """A column of a table."""

    name: str
    unit: Unit = "number"
    best_is_marked: bool = False
    """Whether the highest mean of the column is marked."""


class Row(Record):
    """A row of a table."""

    name: str
    cells: tuple[Measured, ...]
    look: Literal["plain", "ours", "apart"] = "plain"
    """`ours` for the trained model; `apart` begins another part of the table."""


class Table(Record):
    """A table of the report."""

    caption: str
    corner: str
    """Heading of the rows' names."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()
    """Sentences below it."""

    def best(self, column: int) -> float | None:
        """The highest mean of a column whose best is marked."""
        if not self.columns[column].best_is_marked:
            return None
        return max(row.cells[column].mean for row in self.rows)


class Section(Record):
    """A heading of the report and what stands below it."""

    title: str
    text: str = ""
    chart: str | None = None
    """Name of the number that is drawn, value by value, beside its baselines."""
    tables: tuple[Table, ...] = ()
    notes: dict[str, str] = {}
    """Words of the section and what they mean."""


class Picture(Record):
    """A picture of the report."""

    title: str
    file: Annotated[str, Field(pattern=r"^(\w[\w.-]*/)*\w[\w.-]*$")]
    """Path below the run directory, and never out of it."""
    width: int
    height: int


class Gallery(Record):
    """Pictures of one kind."""

    title: str
    shows: str
    """What each picture shows, for those who cannot see it."""
    note: str = ""
    pictures: tuple[Picture, ...]


class TaskResult(Record):
    """All that a task has to say."""

    measured_on: str
    """On how much of what, such as "72 clips of 9 held-out videos"."""
    caption: str = ""
    """What the numbers and their spreads mean, below the table in the terminal."""
    numbers: tuple[Number, ...] = Field(min_length=1)
    verdicts: tuple[Verdict, ...] = ()
    sections: tuple[Section, ...] = ()
    """The report shows a table of the numbers where there are none."""
    galleries: tuple[Gallery, ...] = ()


def contenders_tables(caption: str, numbers: Iterable[Number]) -> tuple[Table, ...]:
    """A row for each contender, a column for each number; a table for each set of contenders."""
    alike: dict[tuple[str, ...], list[Number]] = {}
    for number in numbers:
        alike.setdefault(tuple(number.contenders), []).append(number)
    return tuple(_contenders_table(caption, together) for together in alike.values())


def _contenders_table(caption: str, numbers: list[Number]) -> Table:
    return Table(
        caption=caption,
        corner="Who",
        columns=tuple(Column(name=number.name, unit=number.unit) for number in numbers),
        rows=tuple(
            Row(
                name=name.capitalize(),
                cells=tuple(number.contenders[name] for number in numbers),
                look="ours" if name == TRAINED else "plain",
            )
            for name in numbers[0].contenders
        ),
    )
