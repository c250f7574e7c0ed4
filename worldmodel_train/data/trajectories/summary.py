"""The table that says what a folder's episodes hold."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from worldmodel_train.config.printable import printable
from worldmodel_train.data.packing.summary import duration, histogram
from worldmodel_train.data.trajectories.check import EpisodesReport
from worldmodel_train.data.trajectories.facts import EpisodeShapes
from worldmodel_train.data.trajectories.moments import Moments


def episodes_table(report: EpisodesReport, folder: Path) -> Table:
    """Totals, shapes, and the spread of each number of an action and a state."""
    table = Table(title=Text(printable(folder)), show_header=False, title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(report):
        table.add_row(name, text)
    verdict = f"[red]{len(report.problems)} wrong[/red]" if report.problems else "[green]ok[/green]"
    table.add_row("verdict", verdict)
    return table


def scale_lines(report: EpisodesReport) -> Iterator[str]:
    """What scales the actions to mean 0 and spread 1, as a recipe writes it; none for choices.

    Their 1st and 99th percentiles are there for `by: percentiles`.
    """
    actions, shapes = report.actions, report.shapes
    if actions is None or shapes is None or shapes.discrete_actions:
        return
    # of what never changes the spread is 0, or what rounding leaves of that
    stds = np.where(actions.least == actions.most, 1.0, actions.std)
    numbers = {"mean": actions.mean, "std": stds, "low": actions.low, "high": actions.high}
    listed = ", ".join(f"{name}: {_listed(each)}" for name, each in numbers.items())
    yield f"data.actions={{{listed}}}"


def _listed(numbers: Float64[np.ndarray, "a"]) -> str:
    return f"[{', '.join(f'{number:.6g}' for number in numbers)}]"


def _rows(report: EpisodesReport) -> Iterator[tuple[str, str]]:
    yield "shards", str(report.shards)
    yield "bytes", decimal(report.bytes)
    lengths = f", {report.shortest} to {report.longest} observations each"
    yield "episodes", f"{report.episodes}{lengths if report.episodes else ''}"
    yield "steps", str(report.steps)
    if report.sizes:
        yield "video", f"{duration(report.seconds)}, {histogram(report.sizes)}"
    if report.shapes is not None:
        yield from _shape_rows(report.shapes)
    if report.actions is not None:
        yield from _spread_rows("action", report.actions)
    if report.states is not None:
        yield from _spread_rows("state", report.states)
    if report.rewards is not None:
        least, most = report.rewards.least[0], report.rewards.most[0]
        yield "rewards", f"{least:.4g} to {most:.4g}, mean {report.rewards.mean[0]:.4g}"
    yield "ends", f"{report.ends} episodes end, {report.episodes - report.ends} are cut off"
    if report.bad:
        yield "bad episodes", histogram(report.bad)


def _shape_rows(shapes: EpisodeShapes) -> Iterator[tuple[str, str]]:
    yield "observations", "x".join(map(str, shapes.observation)) or "frames of videos"
    kind = "choices" if shapes.discrete_actions else "numbers"
    yield "actions", f"{shapes.action_width} {kind} each"
    if shapes.state_width is not None:
        yield "states", f"{shapes.state_width} numbers each"


def _spread_rows(noun: str, of: Moments) -> Iterator[tuple[str, str]]:
    columns = (of.mean, of.std, of.least, of.low, of.high, of.most)
    for number, (mean, std, least, low, high, most) in enumerate(zip(*columns, strict=True)):
        within = f"{least:.4g} to {most:.4g}, 1 % to 99 %: {low:.4g} to {high:.4g}"
        yield f"{noun} {number}", f"mean {mean:.4g}, std {std:.4g}, {within}"
