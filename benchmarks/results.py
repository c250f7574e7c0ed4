"""What a benchmark found: tables on the terminal; JSON, Markdown and a picture in a folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """What was to be timed does not compute what it should; nothing is reported."""


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
    figure: Figure


def publish(report: Report, folder: Path) -> Path:
    """Prints the tables and writes the files; the path of the JSON."""
    console = Console(width=110, highlight=False)
    for table in report.tables:
        console.print(_rich(table))
        for note in table.notes:
            console.print(f"  {note}")
    console.print(headline(dict(report.machine)))
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = folder / f"{report.bench}_{slug(dict(report.machine))}_{now:%Y-%m-%d_%H%M%S}.json"
    content = {
        "bench": report.bench,
        "date": now.isoformat(timespec="seconds"),
        "machine": report.machine,
        "settings": report.settings,
        "numbers": report.numbers,
    }
    path.write_text(json.dumps(content, indent=2, default=_plain) + "\n")
    path.with_suffix(".md").write_text("\n\n".join(map(markdown, report.tables)) + "\n")
    report.figure.savefig(path.with_suffix(".png"), dpi=110, bbox_inches="tight")
    console.print(f"written: {path}, .md and .png")
    return path


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
