"""Numbers, tables and picture of how far ahead the levels of two models predict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from worldmodel_train.evaluation.latents.horizon_result import ends_and_mean
from worldmodel_train.evaluation.latents.level_horizons import LevelScores
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Column,
    Gallery,
    Number,
    Picture,
    Row,
    Section,
    Table,
    once,
)

_SIZE, _DPI, _LOWEST = (6.4, 3.6), 110, -1.0
"""Inches, pixels of an inch, and the explained variance below which the picture is cut off."""


@dataclass(frozen=True, kw_only=True)
class ComparedLevel:
    """One level of the trained and of the untrained model, on the same clips."""

    number: int
    """Counted from the lowest, which is 1."""
    trained: LevelScores
    untrained: LevelScores

    @property
    def lines(self) -> dict[str, tuple[float, ...]]:
        """By contender, the trained model first, the explained variance of each step."""
        return {
            "trained predictor": self.trained.predictor,
            "mean latent": (0.0,) * len(self.trained.predictor),
            "copy of the last step": self.trained.copy_last,
            "untrained predictor": self.untrained.predictor,
        }


def level_numbers(levels: Sequence[ComparedLevel]) -> Iterator[Number]:
    """Of each level the nearest step, the farthest, and the mean over all."""
    for level in levels:
        ours, mean, copied, untrained = level.lines.values()
        baselines = {"mean latent": mean, "copy last step": copied, UNTRAINED: untrained}
        yield from ends_and_mean(f"level {level.number} explained", ours, baselines)


def level_section(levels: Sequence[ComparedLevel]) -> Section:
    """A table for each level, a row for each of its steps."""
    return Section(
        title="How far ahead each level predicts",
        tables=tuple(_table(level) for level in levels),
        notes=_NOTES,
    )


def _table(level: ComparedLevel) -> Table:
    columns = level.lines
    return Table(
        caption=f"Explained variance at level {level.number}, in steps of "
        f"{level.trained.frames} frames",
        corner="Frames ahead",
        columns=tuple(Column(name=name.capitalize()) for name in columns),
        rows=tuple(
            Row(name=str(ahead), cells=tuple(once(values[step]) for values in columns.values()))
            for step, ahead in enumerate(level.trained.frames_ahead)
        ),
    )


_NOTES = {
    "Explained variance": "1 − SSE / SST over the latents that lie so far ahead: SSE is the "  # noqa: RUF001
    "squared error of the answer, SST that of always answering the mean target latent of these "
    "clips at this step. 1 is perfect, 0 no better than the mean. Levels have targets of their "
    "own, so what one explains is not what the other would.",
    "Trained predictor": "Sees the first half of a clip. A target is what the level's target "
    "encoder sees of a step when it is given the whole clip.",
    "Copy of the last step": "At each place the latent of the last seen step, by a target encoder "
    "that is given the seen half alone.",
    "Untrained predictor": "Is measured on the latents of its own target encoders.",
}


def level_gallery(levels: Sequence[ComparedLevel], run_dir: Path, folder: str) -> Gallery:
    """The drawing of all levels, written below `run_dir`."""
    (run_dir / folder).mkdir(parents=True, exist_ok=True)
    file = f"{folder}/levels.png"
    draw_levels(levels).savefig(run_dir / file, dpi=_DPI)
    width, height = (round(inches * _DPI) for inches in _SIZE)
    return Gallery(
        title="Explained variance by level and horizon",
        shows="Lines of explained variance over frames ahead, a colour for each level",
        note="A point is a step, at the frame it ends with. Dashed: the last seen step copied. "
        f"What lies below {_LOWEST:g} is cut off.",
        pictures=(Picture(title="all levels", file=file, width=width, height=height),),
    )


def draw_levels(levels: Sequence[ComparedLevel]) -> Figure:
    """Two lines for each level: what it predicts, and what copying would."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for level in levels:
        scores, color = level.trained, f"C{level.number - 1}"
        ahead, name = scores.frames_ahead, f"level {level.number}"
        axes.plot(ahead, scores.predictor, "-o", color=color, ms=4, lw=2.4, label=name)
        axes.plot(ahead, scores.copy_last, "--o", color=color, ms=4, lw=1.2, label=f"{name}, copy")
    drawn = [v for one in levels for v in (*one.trained.predictor, *one.trained.copy_last)]
    lowest = min((value for value in drawn if value == value), default=0.0)
    axes.axhline(0, color="grey", lw=0.8, label="mean latent")
    axes.set_ylim(max(_LOWEST, min(lowest, 0.0)) - 0.05, 1.05)
    axes.set_xlabel("frames ahead of the last one seen")
    axes.set_ylabel("explained variance")
    axes.grid(visible=True, alpha=0.2)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure
