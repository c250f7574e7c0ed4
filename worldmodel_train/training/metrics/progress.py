"""What a person sees of a run: a bar in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from worldmodel_train.training.step_metrics import StepMetrics


@runtime_checkable
class ProgressView(Protocol):
    """Shows how far a run is."""

    def step(self, step: int) -> None:
        """Shows that `step` steps are done."""
        ...

    def reading(self, metrics: StepMetrics, skipped: Mapping[str, int]) -> None:
        """Shows the numbers of a reading."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was."""
        ...


def open_view(console: Console, *, first_step: int, steps: int) -> ProgressView:
    """A bar where `console` is a terminal, lines where it is a file or a pipe."""
    view = Bar if console.is_terminal else Lines
    return view(console, first_step=first_step, steps=steps)


class Bar:
    """A live bar."""

    def __init__(self, console: Console, *, first_step: int, steps: int) -> None:
        columns = ("{task.completed}/{task.total}", "{task.fields[numbers]}")
        self._progress = Progress(
            BarColumn(bar_width=24),
            *(TextColumn(column) for column in columns),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=steps, completed=first_step, numbers="")
        self._progress.start()

    def step(self, step: int) -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=step)

    def reading(self, metrics: StepMetrics, skipped: Mapping[str, int]) -> None:
        """Renews the numbers beside the bar."""
        self._progress.update(self._task, numbers=_numbers(metrics, skipped))

    def close(self) -> None:
        """Stops the live display."""
        self._progress.stop()


class Lines:
    """One line for each reading."""

    def __init__(self, console: Console, *, first_step: int, steps: int) -> None:
        self._console = console
        self._first_step, self._steps = first_step, steps
        self._start = time.perf_counter()

    def step(self, step: int) -> None:
        """Shows nothing: a log would drown."""

    def reading(self, metrics: StepMetrics, skipped: Mapping[str, int]) -> None:
        """Writes the line."""
        done = metrics.step - self._first_step
        seconds = (time.perf_counter() - self._start) * (self._steps - metrics.step) / max(done, 1)
        left = time.strftime("%H:%M:%S", time.gmtime(seconds % 86400))
        days = f"{int(seconds // 86400)}d " if seconds >= 86400 else ""
        self._console.print(
            f"step {metrics.step}/{self._steps}  {_numbers(metrics, skipped)}  eta {days}{left}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is open."""


def _numbers(metrics: StepMetrics, skipped: Mapping[str, int]) -> str:
    values = metrics.values
    mfu = f"mfu {values['mfu']:.1%}  " if "mfu" in values else ""
    acted = f"return {values['acting/return']:.4g}  " if "acting/return" in values else ""
    probed = values.get("online_probe/accuracy")
    probe = "" if probed is None else f"probe {probed:.1%}  "
    text = (
        f"loss {metrics.loss:.4f}  {acted}{probe}{values['clips_per_s']:.1f} clips/s  "
        f"{values['step_ms']:.0f} ms/step  {mfu}data wait {values['data_wait']:.0%}"
    )
    return f"{text}  skipped {sum(skipped.values())}" if skipped else text
