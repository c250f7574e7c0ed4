"""Loss and monitor curves, read from `metrics.jsonl` and drawn as SVG."""

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from worldmodel_train.config.json_text import parse_object
from worldmodel_train.config.plain_file import read_plain
from worldmodel_train.config.printable import printable

METRICS_FILE = "metrics.jsonl"
LONGEST_TITLE = 80  # characters
_LARGEST = 1 << 32  # bytes

# matplotlib writes these colours; the page replaces them by its own, which follow light and dark
_INK, _ACCENT = "#010203", "#040506"
_PAGE_COLORS = {_INK: "currentColor", _ACCENT: "var(--accent)"}
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "worldmodel-train",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}
_LINES = ((_ACCENT, "-"), (_INK, "--"), (_INK, ":"), (_ACCENT, ":"))
Curve = list[tuple[int, float]]


class GivenAlarm(NamedTuple):
    """What a run said was wrong, and when."""

    step: int
    name: str
    text: str


class Panel(NamedTuple):
    """One drawing: the logged numbers it shows, each with its legend."""

    title: str
    lines: dict[str, str]


def _both(name: str) -> dict[str, str]:
    return {f"monitors/target_{name}": "targets", f"monitors/predicted_{name}": "predictions"}


PANELS = (
    Panel("loss", {"loss": "loss", "terms/mask_0": "mask group 1", "terms/mask_1": "mask group 2"}),
    Panel(
        "accuracy of the online probe",
        {
            "online_probe/accuracy": "latents",
            "online_probe/pixels": "pixels",
            "online_probe/majority": "commonest class",
        },
    ),
    Panel(
        "effective rank of latents (RankMe, LiDAR)",
        _both("rankme") | {"monitors/target_lidar": "targets, LiDAR"},
    ),
    Panel("std per dimension", _both("std")),
    Panel("pairwise cosine", _both("cosine")),
    Panel("distance of the teacher from the student", {"monitors/teacher_distance": ""}),
    Panel(
        "gradient norm",
        {
            "grad_norm": "all",
            "grad_norms/context_encoder": "encoder",
            "grad_norms/encoder": "encoder",
            "grad_norms/predictor": "predictor",
        },
    ),
    Panel("learning rate", {"lr": ""}),
    Panel("EMA momentum of the target encoder", {"ema": ""}),
    Panel("weight decay", {"wd": ""}),
    Panel("clips per second", {"clips_per_s": ""}),
    Panel("milliseconds per step", {"step_ms": ""}),
    Panel("model FLOPs utilisation (MFU)", {"mfu": ""}),
    Panel("share of time waiting for data", {"data_wait": ""}),
)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A titled SVG."""

    title: str
    svg: str


def read_curves(run_dir: Path) -> dict[str, Curve]:
    """For each logged number its (step, value) points; nested names are joined by `/`.

    Empty where the run logged nothing. Values that are not finite are left out, and so is a last
    line that is being written, or that a kill cut in half.

    Raises:
        ValueError: Another line is damaged.
    """
    curves: dict[str, Curve] = {}
    for step, reading in _readings(run_dir):
        for name, value in _flatten(reading):
            if name != "step" and math.isfinite(value):
                curves.setdefault(name, []).append((step, value))
    return curves


def read_alarms(run_dir: Path) -> list[GivenAlarm]:
    """The alarms that the run gave while it trained, in their order."""
    given: list[GivenAlarm] = []
    for step, reading in _readings(run_dir):
        alarms = reading.get("alarms", {})
        if isinstance(alarms, Mapping):
            given += [GivenAlarm(step, str(name), str(text)) for name, text in alarms.items()]
    return given


def _readings(run_dir: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Each whole line of the run's log with its step; none where it logged nothing."""
    path = run_dir / METRICS_FILE
    try:
        lines = read_plain(path, _LARGEST).split(b"\n")
    except FileNotFoundError:
        return
    for number, line in enumerate(lines[:-1], start=1):
        reading = parse_object(line, f"{path}, line {number}", allow_nan=True)
        step = reading.get("step", math.nan)
        if not isinstance(step, int | float) or not math.isfinite(step):
            raise ValueError(f"{path}, line {number}: says no step; take it out")
        yield int(step), reading


def _flatten(line: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)


def draw_curves(curves: Mapping[str, Curve]) -> list[Drawing]:
    """A drawing for each panel that was logged, then for each other number, one by one."""
    panels = [panel for panel in PANELS if any(name in curves for name in panel.lines)]
    named = {name for panel in PANELS for name in panel.lines}
    others = sorted(curves.keys() - named)
    panels += [Panel(printable(name, LONGEST_TITLE), {name: ""}) for name in others]
    return [
        Drawing(title=panel.title, svg=_draw_panel(panel, curves))
        for panel in panels
        if any(len(curves.get(name, [])) > 1 for name in panel.lines)
    ]


def _draw_panel(panel: Panel, curves: Mapping[str, Curve]) -> str:
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 2.1), layout="constrained")
        axes = figure.subplots()
        drawn = [(name, label) for name, label in panel.lines.items() if name in curves]
        for (name, label), (color, dashes) in zip(drawn, cycle(_LINES)):
            axes.plot(*zip(*curves[name], strict=True), dashes, color=color, lw=1.4, label=label)
        if len(drawn) > 1:
            axes.legend(frameon=False, fontsize=8)
        axes.set_xlabel("optimizer step")
        axes.grid(visible=True, alpha=0.15, color=_INK)
        return inline_svg(figure, label=f"{panel.title} over optimizer steps")


def draw_points(rows: Mapping[str, tuple[float, ...]], label: str) -> str:
    """An SVG with a line for each row and a point for each of its values, and a line at zero."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 0.5 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots()
        names = list(rows)[::-1]  # the first row on top
        for height, name in enumerate(names):
            values = rows[name]
            axes.scatter(values, [height] * len(values), color=_ACCENT, s=26, alpha=0.7)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.axvline(0, color=_INK, linewidth=0.8)
        axes.grid(visible=True, axis="y", alpha=0.15, color=_INK)
        axes.set_xlabel(label)
        return inline_svg(figure, label=label)


def inline_svg(figure: Figure, label: str) -> str:
    """The figure as an SVG element for HTML, transparent, in the page's colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Title": label})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for color, page_color in _PAGE_COLORS.items():
        svg = svg.replace(color, page_color)
    return svg.replace("<svg ", '<svg role="img" ', 1)
