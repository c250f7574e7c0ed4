"""Pictures of plans: the energy around them, what the model imagines, and what comes of it."""

from collections.abc import Iterator
from math import isnan, nan
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from worldmodel_train.evaluation.pictures import save_pictures
from worldmodel_train.evaluation.planning.closed_loop import Attempts
from worldmodel_train.evaluation.planning.first_plans import (
    GRID,
    FirstPlans,
    Search,
    first_plans,
)
from worldmodel_train.evaluation.planning.imagined_and_done import decoded_strips, nearest_strips
from worldmodel_train.evaluation.planning.pilots import ModelPilot
from worldmodel_train.evaluation.task_result import Gallery, Picture
from worldmodel_train.planners.energies import Apart, Distance
from worldmodel_train.protocols import RendersFrames

_SHOWN, _DPI = 3, 110


def plan_galleries(
    pilot: ModelPilot,
    attempts: Attempts,
    search: Search,
    run_dir: Path,
    folder: str,
    *,
    decoder: RendersFrames | None = None,
) -> Iterator[Gallery]:
    """Of the first goals, in whose attempts the pilot saw what it is asked to recognise.

    A decoder paints what is imagined; without one the nearest of what was seen stands for it.
    """
    plans = first_plans(pilot, attempts.states[0, :_SHOWN], search)
    titles = [f"goal {number}" for number in range(len(plans.actions))]
    energies = _energies_of_choices if pilot.world.has_choices() else _landscapes

    def saved(kind: str, sheets: Iterator[UInt8[Tensor, "h w 3"]]) -> tuple[Picture, ...]:
        return save_pictures(run_dir, f"{folder}/{kind}", zip(titles, sheets, strict=True))

    yield Gallery(
        title="Energy around a plan",
        shows="The energy by the model over the first action of the plan that was found",
        note="A search of its own from the start, and by the model the energy of plans whose first "
        "action begins with other numbers, or is another choice, all else being as it was found; "
        "dark is low, and low is good. The cross, or the red bar, is the plan that was found. Flat "
        "all over: that action changes nothing of what the model foretells.",
        pictures=saved("energy", energies(plans)),
    )
    if decoder is None:
        strips = nearest_strips(pilot, plans, attempts, search.distance)
    else:
        strips = decoded_strips(pilot, plans, decoder)
    yield Gallery(
        title="Imagined and done",
        shows="What the model imagines of its plan, above what is seen when it is done",
        note=strips.note,
        pictures=saved("imagined", strips.sheets),
    )
    agreement = correlation(plans.promised(search.distance), plans.kept(search.distance))
    yield Gallery(
        title="Predicted and realised cost",
        shows="Distance to the goal along a plan, as imagined and as it is",
        note=f"Distance ({search.distance_called}) to the goal's latent after each action of the "
        "plan: of the imagined latents, and of those of the pictures that are seen when it is "
        f"done. Over all that is shown their correlation {_said(agreement)}.",
        pictures=saved("cost", _costs(plans, search.distance)),
    )


def correlation(one: Float[Tensor, "*b"], other: Float[Tensor, "*b"]) -> float:
    """Pearson's of all numbers; NaN where those of one are all the same."""
    pair = torch.stack((one.flatten(), other.flatten())).double()
    if (pair == pair[:, :1]).all(dim=1).any():
        return nan
    return torch.corrcoef(pair)[0, 1].item()


def _said(agreement: float) -> str:
    if isnan(agreement):
        return "cannot be told: one of them never changes, or is no number"
    return f"is {agreement:.2f}"


def _landscapes(plans: FirstPlans) -> Iterator[UInt8[Tensor, "h w 3"]]:
    for energies, actions in zip(plans.slices, plans.actions, strict=True):
        figure = Figure(figsize=(4.2, 3.4), dpi=_DPI, layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel("first number of the first action")
        if len(energies) == GRID:
            axes.plot(np.linspace(-1, 1, GRID), energies.numpy())
            axes.axvline(actions[0, 0], color="grey", linewidth=0.8)
            axes.set_ylabel("energy")
        else:
            half = 1 / (GRID - 1)  # of a cell: the first and the last are centred at the bounds
            drawn = axes.imshow(
                energies.unflatten(0, (GRID, GRID)).T.numpy(),
                origin="lower",
                aspect="auto",
                extent=(-1 - half, 1 + half, -1 - half, 1 + half),
            )
            axes.plot(*actions[0, :2], "x", color="red", markersize=9, markeredgewidth=2)
            axes.set_ylabel("second")
            figure.colorbar(drawn, label="energy")
        yield _pixels(figure)


def _energies_of_choices(plans: FirstPlans) -> Iterator[UInt8[Tensor, "h w 3"]]:
    for energies, actions in zip(plans.slices, plans.actions, strict=True):
        figure = Figure(figsize=(4.2, 3.0), dpi=_DPI, layout="constrained")
        axes = figure.subplots()
        colours = ["grey"] * len(energies)
        colours[int(actions[0].argmax())] = "red"
        axes.bar(range(len(energies)), energies.numpy(), color=colours)
        axes.set_xlabel("choice of the first action")
        axes.set_ylabel("energy")
        yield _pixels(figure)


def _costs(plans: FirstPlans, distance: Distance | Apart) -> Iterator[UInt8[Tensor, "h w 3"]]:
    for promised, kept in zip(plans.promised(distance), plans.kept(distance), strict=True):
        figure = Figure(figsize=(4.2, 3.0), dpi=_DPI, layout="constrained")
        axes = figure.subplots()
        steps = range(1, len(promised) + 1)
        axes.plot(steps, kept.numpy(), color="0.7", linewidth=4, label="done")
        axes.plot(steps, promised.numpy(), "--", marker="o", markersize=3, label="imagined")
        axes.set_xlabel("actions of the plan")
        axes.set_ylabel("distance to the goal's latent")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        yield _pixels(figure)


def _pixels(figure: Figure) -> UInt8[Tensor, "h w 3"]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return torch.from_numpy(np.array(canvas.buffer_rgba())[..., :3].copy())
