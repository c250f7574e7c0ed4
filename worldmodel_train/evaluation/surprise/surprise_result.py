"""Numbers, table and pictures of who is surprised by what cannot be."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from worldmodel_train.evaluation.surprise.surprise import MatchedCurves, aligned, binomial_spread
from worldmodel_train.evaluation.task_result import (
    TRAINED,
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

COPY, LINE, CHANCE = "copy of the last frame", "line through the last two", "chance"
CONTENDERS = (TRAINED, UNTRAINED, COPY, LINE)
_PANEL, _DPI, _COLUMNS = (2.6, 2.0), 100, 4  # inches, pixels of an inch, panels in a row


@dataclass(frozen=True, kw_only=True)
class Surprised:
    """Surprise of every contender at the sets of films of one kind."""

    kind: str
    curves: Mapping[str, MatchedCurves]
    """By contender."""
    onset: tuple[tuple[int, ...], ...] | None
    """The first frame in which films of a set differ; None where they are not matched in time."""
    times: tuple[int, ...]
    """The first frame that is predicted in each window."""

    @property
    def num_sets(self) -> int:
        """Sets of matched films."""
        return len(self.curves[TRAINED].possible)

    def by_mean(self, contender: str) -> Float[Tensor, "p"]:
        """Whether a set's impossible films surprise more, on average over windows."""
        return self.curves[contender].relative_by_mean

    def by_max(self, contender: str) -> Float[Tensor, "p"]:
        """Whether they do in their most surprising windows."""
        return self.curves[contender].relative_by_max


def surprise_numbers(found: Sequence[Surprised]) -> Iterator[Number]:
    """Relative accuracy over all sets by mean and by maximum, and by mean for each kind."""
    yield _number("all, mean surprise", lambda who: torch.cat([one.by_mean(who) for one in found]))
    yield _number("all, most surprise", lambda who: torch.cat([one.by_max(who) for one in found]))
    for one in found:
        yield _number(one.kind, one.by_mean)


def _number(name: str, relative: Callable[[str], Float[Tensor, "p"]]) -> Number:
    shares = {who: once(float(relative(who).mean())) for who in CONTENDERS}
    return Number(
        name=name,
        unit="percent",
        trained=shares.pop(TRAINED),
        baselines={**shares, CHANCE: once(0.5)},
    )


def surprise_section(found: Sequence[Surprised]) -> Section:
    """A row for each kind."""
    columns = [Column(name=f"{who.capitalize()}, mean", unit="percent") for who in CONTENDERS]
    columns += [Column(name=f"{who.capitalize()}, most", unit="percent") for who in CONTENDERS]
    columns += [Column(name="Trained, mean, ±", unit="percent"), Column(name="Sets", unit="count")]
    rows = tuple(
        Row(
            name=one.kind.replace("_", " ").capitalize(),
            cells=(
                *(once(float(one.by_mean(who).mean())) for who in CONTENDERS),
                *(once(float(one.by_max(who).mean())) for who in CONTENDERS),
                once(binomial_spread(one.by_mean(TRAINED))),
                once(one.num_sets),
            ),
        )
        for one in found
    )
    return Section(
        title="Surprise at what cannot be",
        text="An impossible film is the same as a possible one until it happens. But for "
        "reverse_gravity a set has two of each, and all that the impossible ones show is shown by "
        "the possible ones, too.",
        tables=(
            Table(
                caption="Sets whose impossible films surprise more; chance is 50 %",
                corner="What happens",
                columns=tuple(columns),
                rows=rows,
            ),
        ),
        notes=_NOTES,
    )


_NOTES = {
    "Surprise": "A window of a clip's length slides over the film, a tubelet at a time. From its "
    "first tubelets the predictor predicts the latents of the others, with the mask token of its "
    "first mask group; surprise is the mean absolute difference (L1) from the latents of the "
    "target encoder, which has seen the whole window. Training masks need not be such.",
    "Mean, most": "The mean surprise over a film's windows, and that of its most surprising one. "
    "Sets whose films surprise alike count half.",
    "Copy, line": "The same windows with pixels instead of latents: the last seen frame as the "
    "answer to all later ones, and the line through the last two. What beats a model here needs no "
    "model.",
    "±": "Standard deviation of a share of so many independent sets (binomial).",
    "Hidden": "It happens behind a screen, and shows when the thing comes out, or does not.",
    "IntPhys": "A quadruplet is a set.",
}


def surprise_gallery(
    found: Sequence[Surprised], run_dir: Path, folder: str, tubelet: int
) -> Gallery | None:
    """The trained model's curves, aligned at the violation; None where none are matched in time."""
    matched = [one for one in found if one.onset is not None]
    if not matched:
        return None
    (run_dir / folder).mkdir(parents=True, exist_ok=True)
    file = f"{folder}/surprise.png"
    rows = ceil(len(matched) / _COLUMNS)
    inches = _PANEL[0] * min(_COLUMNS, len(matched)), _PANEL[1] * rows + 0.4
    draw_surprise(matched, tubelet, inches).savefig(run_dir / file, dpi=_DPI)
    width, height = (round(side * _DPI) for side in inches)
    return Gallery(
        title="Surprise around the violation",
        shows="Mean surprise at possible and impossible films over time",
        note="Means over films, by tubelets from the first frame that differs to the first tubelet "
        "that is predicted. Before it, windows differ where what they predict reaches beyond it.",
        pictures=(Picture(title="trained model", file=file, width=width, height=height),),
    )


def draw_surprise(found: Sequence[Surprised], tubelet: int, inches: tuple[float, float]) -> Figure:
    """A panel for each kind: the impossible films' curve over the possible ones'."""
    figure = Figure(figsize=inches, layout="constrained")
    rows = ceil(len(found) / _COLUMNS)
    panels = list(figure.subplots(rows, min(_COLUMNS, len(found)), squeeze=False).flat)
    for one, axes in zip(found, panels, strict=False):
        assert one.onset is not None, "they are matched in time"
        curves = one.curves[TRAINED]
        for name, curve, look in (
            ("possible", curves.possible, "--"),
            ("impossible", curves.impossible, "-"),
        ):
            points = list(aligned(curve, one.onset, one.times, tubelet))
            axes.plot(*zip(*points, strict=True), look, label=name)
        axes.axvline(0, color="grey", lw=0.8)
        axes.set_title(one.kind.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(visible=True, alpha=0.2)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure
