"""Numbers, table and picture of how far ahead two models predict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from einops import rearrange
from matplotlib.figure import Figure

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.latents.horizons import HorizonScores
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
class ComparedHorizons:
    """Both models' scores on the same clips."""

    trained: HorizonScores
    untrained: HorizonScores
    tubelet_seconds: float
    """From one tubelet to the next."""

    @property
    def lines(self) -> dict[str, tuple[float, ...]]:
        """By contender, the trained model first, the explained variance of each horizon."""
        return {
            "trained predictor": self.trained.predictor,
            "mean latent": (0.0,) * len(self.trained.predictor),
            "copy of the last tubelet": self.trained.copy_last,
            "line through the last two": self.trained.line,
            "untrained predictor": self.untrained.predictor,
        }

    @property
    def seconds(self) -> tuple[float, ...]:
        """How far ahead each horizon lies."""
        horizons = range(1, len(self.trained.predictor) + 1)
        return tuple(horizon * self.tubelet_seconds for horizon in horizons)


def tubelet_seconds(held_out: FixedClips, tubelets: int, *, fps: float) -> float:
    """Seconds from one tubelet to the next: in the median clip, or by the rate where times lack."""
    if held_out.times is None:
        return held_out.clips.shape[1] // tubelets / fps
    begins = rearrange(held_out.times, "b (n u) -> b n u", n=tubelets)[:, :, 0]
    return float(begins.diff(dim=1).mean(dim=1).median())


def horizon_numbers(both: ComparedHorizons) -> Iterator[Number]:
    """Of the nearest tubelet, of the farthest, and their mean with all between."""
    ours, mean, copied, line, untrained = both.lines.values()
    baselines = {
        "mean latent": mean,
        "copy last tubelet": copied,
        "line through last two": line,
        UNTRAINED: untrained,
    }
    yield from ends_and_mean("explained", ours, baselines)


def ends_and_mean(
    what: str, ours: Sequence[float], baselines: Mapping[str, Sequence[float]]
) -> Iterator[Number]:
    """Of values by how far ahead, the nearest, the farthest, and the mean of all."""
    for name, of in (
        ("nearest", lambda values: values[0]),
        ("farthest", lambda values: values[-1]),
        ("mean", fmean),
    ):
        yield Number(
            name=f"{what}, {name}",
            trained=once(of(ours)),
            baselines={rival: once(of(values)) for rival, values in baselines.items()},
        )


def horizon_section(both: ComparedHorizons) -> Section:
    """A row for each horizon, and what its columns mean."""
    columns = {
        **both.lines,
        "copy, whole clip seen": both.trained.copy_last_of_whole,
        "copy, in untrained latents": both.untrained.copy_last,
        "with other videos, ±": both.trained.over_videos,
    }
    rows = tuple(
        Row(
            name=f"{number} ({seconds:.3g} s)",
            cells=tuple(once(values[number - 1]) for values in columns.values()),
        )
        for number, seconds in enumerate(both.seconds, start=1)
    )
    return Section(
        title="How far ahead it predicts",
        tables=(
            Table(
                caption="Explained variance by how many tubelets lie ahead of the last seen one",
                corner="Tubelets ahead",
                columns=tuple(Column(name=name.capitalize()) for name in columns),
                rows=rows,
            ),
        ),
        notes=_NOTES,
    )


_NOTES = {
    "Explained variance": "1 − SSE / SST over the tokens that lie so far ahead: SSE is the squared "  # noqa: RUF001
    "error of the answer, SST that of always answering the mean target latent of these clips at "
    "this horizon. 1 is perfect, 0 no better than the mean. Targets are the target encoder's "
    "latents of the whole clip, in which every token has seen all others.",
    "Trained predictor": "Sees all tokens of the first tubelets and none of the later ones, which "
    "it predicts all at once, with the mask token of its first mask group. Its training masks "
    "need not be such.",
    "Copy of the last tubelet": "At each place the latent of the last seen tubelet, by a target "
    "encoder that is given the seen frames alone.",
    "Line through the last two": "At each place the line through the latents of the last two seen "
    "tubelets, followed as far as the horizon; by the same encoder.",
    "Untrained predictor": "Is measured on the latents of its own target encoder.",
    "Copy, whole clip seen": "The copy by a target encoder that is given the whole clip. It knows "
    "of the future, so it is no fair rival, and shows how far being shown less moves latents.",
    "With other videos, ±": "Standard deviation of the trained predictor's over 1000 draws of the "
    "held-out videos with replacement.",
}


def horizon_gallery(both: ComparedHorizons, run_dir: Path, folder: str) -> Gallery:
    """The drawing of all contenders, written below `run_dir`."""
    (run_dir / folder).mkdir(parents=True, exist_ok=True)
    file = f"{folder}/horizons.png"
    draw_lines(both.lines, both.seconds).savefig(run_dir / file, dpi=_DPI)
    width, height = (round(inches * _DPI) for inches in _SIZE)
    return Gallery(
        title="Explained variance by horizon",
        shows="Lines of explained variance over seconds ahead",
        note="A point is a tubelet after the last seen one, at its distance in video time. What "
        f"lies below {_LOWEST:g} is cut off.",
        pictures=(Picture(title="all contenders", file=file, width=width, height=height),),
    )


def draw_lines(lines: Mapping[str, Sequence[float]], seconds: Sequence[float]) -> Figure:
    """A line for each contender, the first one thickest; explained variance from -1 to 1."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for number, (name, values) in enumerate(lines.items()):
        look = "-" if number == 0 else "--"
        axes.plot(seconds, values, f"{look}o", ms=4, lw=2.4 if number == 0 else 1.2, label=name)
    lowest = min((v for values in lines.values() for v in values if v == v), default=0.0)
    axes.set_ylim(max(_LOWEST, lowest) - 0.05, 1.05)
    axes.set_xlabel("seconds ahead of the last tubelet seen")
    axes.set_ylabel("explained variance")
    axes.grid(visible=True, alpha=0.2)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure
