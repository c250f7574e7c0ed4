"""Pictures of results."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from benchmarks.ceilings import Ceilings, Work
from benchmarks.timing import Spread

COLORS = ("#1b6ca8", "#c8553d", "#6b8f71", "#8d6a9f", "#c9a227", "#5f6b73", "#2a9d8f")


class Point(NamedTuple):
    """One measured operation in a roofline."""

    label: str
    work: Work
    seconds: Spread


def bars(
    title: str, unit: str, groups: Mapping[str, Mapping[str, Spread]], *, colors: int = len(COLORS)
) -> Figure:
    """A panel for each group, since their scales differ; whiskers are quartiles.

    Bars take turns in so many `colors`.
    """
    figure = Figure(figsize=(4.2 * max(1, len(groups)), 3.2), layout="constrained")
    for place, (group, values) in enumerate(groups.items(), start=1):
        axis = figure.add_subplot(1, len(groups), place)
        for number, (name, spread) in enumerate(values.items()):
            below, above = spread.median - spread.lower, spread.upper - spread.median
            axis.barh(name, spread.median, color=COLORS[number % colors], height=0.65)
            axis.errorbar(
                spread.median, number, xerr=[[below], [above]], color="#222222", capsize=3
            )
        axis.invert_yaxis()
        axis.set_title(group, fontsize=9)
        axis.set_xlabel(unit)
        axis.spines[["top", "right"]].set_visible(b=False)
    figure.suptitle(title, fontsize=10)
    return figure


def roofline(title: str, points: Sequence[Point], ceilings: Ceilings, precision: str) -> Figure:
    """Measured rates under the ceilings of the same run."""
    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    axis = figure.subplots()
    peak, bandwidth = ceilings.matmul[precision].median, ceilings.copy.median
    intensities = [point.work.intensity for point in points] + [peak / bandwidth]
    x = np.geomspace(min(intensities) / 4, max(intensities) * 4, 200)
    axis.loglog(x, np.minimum(peak, bandwidth * x) / 1e12, color="#222222", linewidth=1)
    for number, point in enumerate(points):
        rate = point.work.flops / point.seconds.median / 1e12
        axis.plot(
            point.work.intensity, rate, "osD^vP*"[number // len(COLORS) % 7],
            color=COLORS[number % len(COLORS)], label=point.label,
        )  # fmt: skip
    axis.set_xlabel("FLOP per byte that must move")
    axis.set_ylabel("TFLOP/s")
    axis.set_title(f"{title}\n{', '.join(ceilings.lines)}", fontsize=9)
    axis.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    axis.spines[["top", "right"]].set_visible(b=False)
    return figure
