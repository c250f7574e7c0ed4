"""How far packing is: a bar on a terminal, a plain line now and then in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from worldmodel_train.config.printable import printable
from worldmodel_train.data.packing.journal import Reject


class PackProgress:
    """Counts videos or what else is packed, bytes and rejects, and shows them on `console`."""

    def __init__(self, console: Console, line_every_s: float = 10.0, noun: str = "videos") -> None:
        self._console, self._line_every_s, self._noun = console, line_every_s, noun
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("packing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )

    def start(self, total: int, done: int, earlier: tuple[int, int]) -> None:
        """Begin at `done` of `total`, with bytes and rejects of earlier runs."""
        self._total, self._done, self._resumed = total, done, done
        self._bytes, self._rejects = earlier
        self._begun = self._spoken = time.monotonic()
        self._task = self._bar.add_task("pack", total=total, completed=done, figures="")
        if done:
            self._console.print(f"going on after {done} of {total} {self._noun}", highlight=False)

    def __enter__(self) -> "PackProgress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        self._say()

    def advance(self, packed: int, rejected: Reject | None) -> None:
        """One more, rejected or not; `packed` counts the bytes of all shards so far."""
        self._done += 1
        self._bytes = packed
        if rejected is not None:
            self._rejects += 1
            self._bar.console.print(
                f"rejected {printable(rejected.path)}: {rejected.reason}, "
                f"{printable(rejected.detail)}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        self._bar.update(self._task, completed=self._done, figures=self._figures())
        if time.monotonic() - self._spoken > self._line_every_s:
            self._say()

    def _figures(self) -> str:
        rate = (self._done - self._resumed) / max(time.monotonic() - self._begun, 1e-6)
        return f"{rate:.1f} {self._noun}/s, {decimal(self._bytes)}, {self._rejects} rejected"

    def _say(self) -> None:
        """A plain line, where there is no bar."""
        self._spoken = time.monotonic()
        if self._console.is_terminal:
            return
        spent = self._spoken - self._begun
        left = spent * (self._total - self._done) / max(self._done - self._resumed, 1)
        self._console.print(
            f"{self._done}/{self._total} {self._noun}, {self._figures()}, about {left:.0f} s left",
            highlight=False,
            soft_wrap=True,
        )
