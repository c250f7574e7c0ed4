"""Loss and monitor curves, read from `metrics.jsonl` and drawn as SVG."""

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

METRICS_FILE = "metrics.jsonl"

# matplotlib writes these colours; the page replaces them by its own, which follow light and dark
_INK, _ACCENT = "#010203", "#040506"
_PAGE_COLORS = {_INK: "currentColor", _ACCENT: "var(--accent)"}
_STYLE = {
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
Curve = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A titled SVG."""

    title: str
    svg: str


def read_curves(run_dir: Path) -> dict[str, Curve]:
    """For each logged number its (step, value) points; nested names are joined by `/`.

    Empty where the run logged nothing. Values that are not finite are left out.
    """
    path = run_dir / METRICS_FILE
    if not path.is_file():
        return {}
    curves: dict[str, Curve] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        numbers = dict(_flatten(json.loads(line)))
        step = numbers.pop("step")
        for name, value in numbers.items():
            if math.isfinite(value):
                curves.setdefault(name, []).append((step, value))
    return curves


def _flatten(line: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)


def draw_curves(curves: Mapping[str, Curve]) -> list[Drawing]:
    """One drawing for each curve of at least two points, `loss` first, then by name."""
    names = sorted(curves, key=lambda name: (name != "loss", name.count("/"), name))
    return [
        Drawing(title=name, svg=_draw_curve(name, curves[name]))
        for name in names
        if len(curves[name]) > 1
    ]


def _draw_curve(name: str, curve: Curve) -> str:
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 2.0), layout="constrained")
        axes = figure.subplots()
        axes.plot(*zip(*curve, strict=True), color=_ACCENT, linewidth=1.4)
        axes.set_xlabel("optimizer step")
        axes.grid(visible=True, alpha=0.15, color=_INK)
        return inline_svg(figure, label=f"{name} over optimizer steps")


def draw_points(rows: Mapping[str, tuple[float, ...]], label: str) -> str:
    """An SVG with a line for each row and a point for each of its values, and a line at zero."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 0.5 + 0.34 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for height, values in enumerate(reversed(rows.values())):
            axes.scatter(values, [height] * len(values), color=_ACCENT, s=26, alpha=0.7)
        axes.set_yticks(range(len(rows)), list(reversed(rows)))
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
