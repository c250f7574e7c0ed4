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
    """Totals, shapes, and the spread of each number of an action."""
    table = Table(title=Text(printable(folder)), show_header=False, title_style="bold")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(report):
        table.add_row(name, text)
    verdict = f"[red]{len(report.problems)} wrong[/red]" if report.problems else "[green]ok[/green]"
    table.add_row("verdict", verdict)
    return table


def scale_lines(report: EpisodesReport) -> Iterator[str]:
    """What scales the actions to mean 0 and spread 1, as a recipe writes it; none for choices."""
    actions, shapes = report.actions, report.shapes
    if actions is None or shapes is None or shapes.discrete_actions:
        return
    # of what never changes the spread is 0, or what rounding leaves of that
    stds = np.where(actions.least == actions.most, 1.0, actions.std)
    yield f"data.actions={{mean: {_listed(actions.mean)}, std: {_listed(stds)}}}"


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
        yield from _action_rows(report.actions)
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


def _action_rows(actions: Moments) -> Iterator[tuple[str, str]]:
    columns = (actions.mean, actions.std, actions.least, actions.most)
    for number, (mean, std, least, most) in enumerate(zip(*columns, strict=True)):
        yield f"action {number}", f"mean {mean:.4g}, std {std:.4g}, {least:.4g} to {most:.4g}"
