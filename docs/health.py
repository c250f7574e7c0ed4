"""Draws the charts of TensorBoard's dashboard `health` for runs side by side, as a picture.

`docs/health.py OUT RUN [RUN ...]`. Drawn from `metrics.jsonl`: no screenshot of TensorBoard.
"""

import re
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from worldmodel_train.evaluation.curves import read_alarms, read_curves
from worldmodel_train.training.metrics.sinks import HEALTH

_COLORS = ("#0b62c4", "#b3206f", "#0f7b3d")
_DASHES = ("-", "--", ":")
_ACROSS = 4


def main() -> None:
    """Reads the arguments, draws, writes."""
    out, *runs = map(Path, sys.argv[1:])
    health(runs).savefig(out, dpi=88)


def health(runs: list[Path]) -> Figure:
    """The charts; a run has a colour, a curve of it a dash, an alarm a line where it was given."""
    figure = Figure(figsize=(13.0, 5.6), layout="constrained")
    down = -(-len(HEALTH) // _ACROSS)
    charts = figure.subplots(down, _ACROSS).flat
    for axes, (title, (_, patterns)) in zip(charts, HEALTH.items(), strict=False):
        axes.set_title(title, fontsize=8.5, loc="left")
        for run, color in zip(runs, cycle(_COLORS)):
            _draw(axes, run, patterns, color)
        axes.grid(visible=True, alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        axes.legend(frameon=False, fontsize=6.5)
    return figure


def _draw(axes: Any, run: Path, patterns: list[str], color: str) -> None:  # noqa: ANN401 - matplotlib's axes have no stable type
    curves = read_curves(run)
    shown = [name for name in curves if any(re.search(pattern, name) for pattern in patterns)]
    for name, dashes in zip(shown, cycle(_DASHES)):
        steps, values = zip(*curves[name], strict=True)
        label = f"{run.name}: {name.partition('/')[2] or name}"
        axes.plot(steps, values, dashes, color=color, lw=1.3, label=label)
    for alarm in read_alarms(run):
        axes.axvline(alarm.step, color=color, lw=0.7, alpha=0.5)


if __name__ == "__main__":
    main()
