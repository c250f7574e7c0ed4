"""What a benchmark found: tables on the terminal; JSON, Markdown and a picture in a folder."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.device import headline, slug
from benchmarks.timing import Spread

RESULTS = Path(__file__).parent / "results"


class IncorrectError(Exception):
    """What was to be timed does not compute what it should; it is not reported."""


class FailedCasesError(Exception):
    """Some cases have no result; the others are written."""


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """Cells as they are shown."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run of one benchmark."""

    bench: str
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    numbers: Mapping[str, Any]
    """Everything measured, in SI units."""
    tables: Sequence[ResultTable]
    draw: Callable[[], Figure]
    failures: Mapping[str, str] = field(default_factory=dict)
    """What went wrong, by the name of the case that has no result."""


class Publication:
    """The files of one run of a benchmark, written anew after each case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = datetime.now(UTC)

    def write(self, report: Report) -> Path:
        """Writes the numbers and the tables of what is done so far; the path of the JSON."""
        machine = slug(dict(report.machine))
        path = self._folder / f"{report.bench}_{machine}_{self._began:%Y-%m-%d_%H%M%S}.json"
        content = {
            "bench": report.bench,
            "date": self._began.isoformat(timespec="seconds"),
            "machine": report.machine,
            "settings": report.settings,
            "numbers": report.numbers,
            "failures": report.failures,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps(content, indent=2, default=_plain))
        sections = [*map(markdown, report.tables), *_failed(report.failures)]
        _replace(path.with_suffix(".md"), "\n\n".join(sections))
        return path

    def finish(self, report: Report) -> Path:
        """Writes all files, the picture as well, and prints the tables; the path of the JSON.

        Raises:
            FailedCasesError: Some cases have no result.
        """
        path = self.write(report)
        report.draw().savefig(path.with_suffix(".png"), dpi=110, bbox_inches="tight")
        _print(report, path)
        if report.failures:
            raise FailedCasesError(f"{'; '.join(_failed(report.failures))}; the others: {path}")
        return path


def publish(report: Report, folder: Path) -> Path:
    """Prints the tables and writes the files; the path of the JSON."""
    return Publication(folder).finish(report)


def _print(report: Report, path: Path) -> None:
    console = Console(width=110, highlight=False)
    for table in report.tables:
        console.print(_rich(table))
        for note in table.notes:
            console.print(f"  {note}")
    console.print(headline(dict(report.machine)))
    console.print(f"written: {path}, .md and .png")


def _failed(failures: Mapping[str, str]) -> list[str]:
    return [f"not measured: {name}: {error}" for name, error in failures.items()]


def _replace(path: Path, text: str) -> None:
    """Writes a whole file at once: a benchmark that is killed leaves the one before."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(text + "\n")
    beside.replace(path)


def markdown(table: ResultTable) -> str:
    """The table as the documents have it."""
    lines = [
        f"**{table.title}**\n",
        f"| {' | '.join(table.headings)} |",
        f"|{'---|' * len(table.headings)}",
        *(f"| {' | '.join(row)} |" for row in table.rows),
    ]
    return "\n".join(lines + ([f"\n{'; '.join(table.notes)}."] if table.notes else []))


def number(value: float) -> str:
    """Three digits, and never an exponent where a number can be read."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"


def with_quartiles(spread: Spread) -> str:
    """Median, and quartiles in brackets."""
    median, lower, upper = (number(value) for value in spread)
    return f"{median} ({lower} to {upper})"


def _rich(table: ResultTable) -> Table:
    shown = Table(title=table.title, title_justify="left")
    for number, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _plain(value: object) -> object:
    """JSON of what is not plain: paths."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no result")
