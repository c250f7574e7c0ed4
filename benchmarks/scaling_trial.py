"""A disturbed run beside undisturbed ones: what it cost, how far the losses differ, a picture.

    python benchmarks/scaling_trial.py runs/x/disturbed runs/x/two_tasks runs/x/one_process \
        --events runs/x/events.json --picture docs/scaling_trial.png

Arguments are run directories with a reading of every step (log.every_steps=1). Tables are Markdown.
The events are what benchmarks/scaling_trial_slurm.py writes.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType
from rich.console import Console

EQUAL = 1e-10
"""Where the picture, which has a logarithmic axis, puts differences of 0."""
INK, COLOURS = "#222222", ("#d1495b", "#1d4e79", "#c3cbd3")
STYLE: dict[RcKeyType, Any] = {
    "font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.alpha": 0.25,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Event:
    """One end of a start of a run, and how the next one went on; seconds since it was caused."""

    what: str
    step: int
    """The last step that was taken before."""
    resumed: int
    """The step of the checkpoint that the next start went on from."""
    until_start_s: float
    """To the next start of the batch script: saving where there is time for it, and SLURM."""
    until_step_s: float
    """To the end of the next training step."""


@dataclass(frozen=True)
class Trained:
    """The readings of a run, step by step, and its last checkpoint."""

    name: str
    losses: dict[int, float]
    step_ms: dict[int, float]
    checkpoint_files: tuple[int, ...]
    """Sizes of the files, in bytes."""

    @classmethod
    def read(cls, directory: Path) -> "Trained":
        """The run in that directory; steps that were taken again are there once."""
        lines = [json.loads(x) for x in (directory / "metrics.jsonl").read_text().splitlines()]
        steps = [line["step"] for line in lines]
        if steps != list(range(1, len(steps) + 1)):
            raise ValueError(f"{directory} lacks steps; train with log.every_steps=1")
        last = directory / "checkpoints" / (directory / "checkpoints/last").read_text().strip()
        return cls(
            directory.name.replace("_", " "),
            {line["step"]: line["loss"] for line in lines},
            {line["step"]: line["step_ms"] for line in lines},
            tuple(path.stat().st_size for path in last.iterdir()),
        )

    def differences(self, other: "Trained") -> dict[int, float]:
        """Relative differences of the losses, step by step."""
        if self.losses.keys() != other.losses.keys():
            raise ValueError(f"{self.name} and {other.name} have other numbers of steps")
        return {s: abs(loss / other.losses[s] - 1) for s, loss in self.losses.items()}


def main() -> None:
    """Prints the tables and draws the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("disturbed", type=Path)
    parser.add_argument("undisturbed", type=Path, nargs="+")
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--picture", type=Path, default=None)
    arguments = parser.parse_args()
    events = [Event(**one) for one in json.loads(arguments.events.read_text())]
    disturbed = Trained.read(arguments.disturbed)
    others = [Trained.read(path) for path in arguments.undisturbed]
    tables = (ends(events), deviations(disturbed, others, events), costs(disturbed, others, events))
    console = Console(width=160, highlight=False, markup=False)
    for table in tables:
        console.print(table)
    if arguments.picture is not None:
        draw(disturbed, others, events).savefig(arguments.picture)


def parts(run: Trained, events: Sequence[Event]) -> list[range]:
    """The steps that each start of a run has left."""
    ends = [0, *(event.resumed for event in events), len(run.losses)]
    return [range(a + 1, b + 1) for a, b in itertools.pairwise(ends)]


def ends(events: Sequence[Event]) -> str:
    """What each event cost."""
    rows = [
        (
            event.what, event.step, event.resumed, event.step - event.resumed,
            f"{event.until_start_s:.1f} s", f"{event.until_step_s:.1f} s",
        )
        for event in events
    ]  # fmt: skip
    return markdown(
        ("what", "after step", "went on from", "steps repeated", "next start", "next step"), rows
    )


def deviations(run: Trained, others: Sequence[Trained], events: Sequence[Event]) -> str:
    """The largest relative difference of the loss for each start of the run."""
    rows = []
    for part in parts(run, events):
        cells = []
        for other in others:
            found = run.differences(other)
            largest = max(found[step] for step in part)
            cells.append(f"{largest:.1e}" if largest else "0, bit for bit")
        rows.append((f"{part[0]} to {part[-1]}", *cells))
    return markdown(("steps", *(f"from {other.name}" for other in others)), rows)


def costs(run: Trained, others: Sequence[Trained], events: Sequence[Event]) -> str:
    """Time of a step (the middle one; nine of ten lie between) and size of a checkpoint."""
    rows = [pace(other, range(1, len(other.losses) + 1), other.name) for other in others]
    rows += [
        pace(run, part, f"{run.name}, steps {part[0]} to {part[-1]}") for part in parts(run, events)
    ]
    for one in (run, *others):
        sizes = one.checkpoint_files
        size, number = f"{sum(sizes):,} bytes", f"{len(sizes)} files"
        rows.append((f"last checkpoint, {one.name}", size, number))
    return markdown(("", "median step / bytes", "nine of ten / files"), rows)


def pace(run: Trained, part: range, name: str) -> tuple[str, str, str]:
    """The time of these steps."""
    times = [run.step_ms[step] for step in part]
    cuts = statistics.quantiles(times, n=20)
    return name, f"{statistics.median(times):,.0f} ms", f"{cuts[0]:,.0f} to {cuts[-1]:,.0f} ms"


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def draw(run: Trained, others: Sequence[Trained], events: Sequence[Event]) -> Figure:
    """Losses above, relative differences below, events as vertical lines."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    draw_losses(above, run, others)
    draw_differences(below, run, others)
    for axes in (above, below):
        for event in events:
            axes.axvline(event.resumed + 0.5, color=INK, linewidth=1, linestyle=":")
    for event in events:
        repeated = event.step - event.resumed
        text = f"{event.what}\n" + (f"{repeated} steps repeated" if repeated else "none repeated")
        above.annotate(
            text, (event.resumed + 0.5, 1), (4, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="top", fontsize=10,
        )  # fmt: skip
        if repeated:
            above.axvspan(event.resumed + 0.5, event.step + 0.5, color=INK, alpha=0.07, linewidth=0)
    return figure


def draw_losses(axes: Axes, run: Trained, others: Sequence[Trained]) -> None:
    """The disturbed run as points on the lines of the others, the first of them innermost."""
    for i, (other, colour) in reversed(list(enumerate(zip(others, COLOURS[1:], strict=False)))):
        steps, losses = list(other.losses), list(other.losses.values())
        axes.plot(steps, losses, color=colour, linewidth=1.2 + 3 * i, label=other.name)
    steps, losses = list(run.losses), list(run.losses.values())
    axes.plot(steps, losses, ".", color=COLOURS[0], markersize=5, label=run.name)
    axes.set_ylabel("loss")
    axes.set_ylim(top=max(losses) * 1.12)  # room for the words
    axes.legend(frameon=False, loc="lower left")


def draw_differences(axes: Axes, run: Trained, others: Sequence[Trained]) -> None:
    """Differences from each other run; those that are 0 lie in a row of their own."""
    for i, (other, colour) in enumerate(zip(others, COLOURS[1:], strict=False)):
        found = run.differences(other)
        heights = [value or EQUAL / 3**i for value in found.values()]
        axes.plot(list(found), heights, ".", color=colour, markersize=5, label=f"from {other.name}")
    axes.set_yscale("log")
    powers = range(-8, -1, 2)
    axes.set_yticks([EQUAL, *(10.0**p for p in powers)], ["equal", *(f"1e{p}" for p in powers)])
    axes.minorticks_off()
    axes.set_ylim(EQUAL / 10, 1e-1)
    axes.set_ylabel("relative difference")
    axes.set_xlabel("optimizer step")
    axes.legend(frameon=False, loc="upper left", ncols=len(others))


if __name__ == "__main__":
    main()
