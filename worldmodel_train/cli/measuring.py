"""What a person sees while tasks measure: bars in a terminal, a line for each elsewhere."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.evaluation.showing import Showing, Tell

_log = logging.getLogger(__name__)

_MEASURING = "measuring on held-out data"


@contextmanager
def measuring(console: Console) -> "Iterator[Showing]":
    """A spinner, and what tasks show of their work."""
    if not console.is_terminal:
        yield shown_as_lines
        return
    columns = ("{task.description}", "{task.fields[count]}", "{task.fields[found]}")
    description, *fields = (TextColumn(column, markup=False) for column in columns)
    with Progress(
        SpinnerColumn(), description, BarColumn(bar_width=24), *fields,
        console=console, transient=True,
    ) as progress:  # fmt: skip
        progress.add_task(_MEASURING, total=None, count="", found="")
        yield Bars(progress)


@dataclass(frozen=True)
class Bars:
    """A `Showing` of live bars, each gone when all is done."""

    progress: Progress

    @contextmanager
    def __call__(self, what: str, total: int) -> "Iterator[Tell]":
        """A bar."""
        bar = self.progress.add_task(printable(what), total=total, count=f"0/{total}", found="")

        def tell(done: int, found: str) -> None:
            self.progress.update(bar, completed=done, count=f"{done}/{total}", found=found)

        try:
            yield tell
        finally:
            self.progress.remove_task(bar)


@dataclass
class _Last:
    done: int = 0
    found: str = ""

    def __call__(self, done: int, found: str) -> None:
        self.done, self.found = done, found


@contextmanager
def shown_as_lines(what: str, total: int) -> "Iterator[Tell]":
    """A `Showing` of one line in the log, when all is done: more would drown it."""
    last = _Last()
    yield last
    _log.info("%s: %d/%d %s", printable(what), last.done, total, last.found)
