"""What the commands of `wmt data` share: options, and errors of one line."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.data.packing.entry import Entry

LONGEST_LINE = 1000  # characters; a line with a path in it must stay whole

OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the shards.")]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes.", show_default="one per core")
]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Which part of a set is packed, and with what."""

    part: str | None
    """As I/N; None for all."""
    workers: int
    """Processes."""
    timeout_s: float
    """Without progress on a sample, until it is given up."""

    def part_of(self, entries: "Sequence[Entry]", out: Path) -> "tuple[Path, Sequence[Entry]]":
        """The folder to pack into, and the entries that belong there."""
        from worldmodel_train.data.packing.parts import Part, begin_part

        return (
            (out, entries) if self.part is None else begin_part(Part.parse(self.part), entries, out)
        )


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raises PackError where one of the options is given, that is, not None."""
    from worldmodel_train.data.packing.errors import PackError

    for name, value in options.items():
        if value is not None:
            raise PackError(f"{name}: {why}")


def cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_line_errors(out: Path) -> Iterator[None]:
    """What the user can put right ends as one line and status 1, Ctrl-C as status 130."""
    from worldmodel_train.data.packing.errors import PackError

    try:
        yield
    except PackError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"{out}: the disk is full; finished shards are intact. Free space and repeat")
        _fail(f"{error.filename or out}: {error.strerror or error}")
    except KeyboardInterrupt:
        typer.echo("stopped; the same command resumes", err=True)
        raise typer.Exit(130) from None


@contextmanager
def counting(noun: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; what is yielded is told how many are done."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns: list[Any] = [TextColumn(noun), *Progress.get_default_columns()[1:2]]
    with Progress(
        *columns,
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(noun, total=total, completed=done)
        yield lambda now: progress.update(task, completed=now)


def _fail(message: str) -> None:
    typer.echo(f"error: {printable(message, LONGEST_LINE)}", err=True)
    raise typer.Exit(1)
