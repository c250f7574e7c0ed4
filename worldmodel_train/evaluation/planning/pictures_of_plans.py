"""Pictures of plans: the energy around them, what the model imagines, and what comes of it."""

from collections.abc import Iterator
from math import isnan, nan
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import pad

from worldmodel_train.cartography.tiling import enlarge, tile
from worldmodel_train.evaluation.pictures import save_pictures
from worldmodel_train.evaluation.planning.closed_loop import Attempts
from worldmodel_train.evaluation.planning.first_plans import (
    GRID,
    FirstPlans,
    Search,
    first_plans,
)
from worldmodel_train.evaluation.planning.pilots import ModelPilot, latents_of
from worldmodel_train.evaluation.task_result import Gallery, Picture
from worldmodel_train.planners.energies import Apart, Distance, nearness

_MOST_SEEN, _LEAST_SIDE, _EDGE, _DPI = 512, 64, 128, 110


def plan_galleries(
    pilot: ModelPilot,
    attempts: Attempts,
    search: Search,
    run_dir: Path,
    folder: str,
    *,
    most: int = 3,
) -> Iterator[Gallery]:
    """Of the first `most` goals, in whose attempts the pilot saw what it is asked to recognise."""
    plans = first_plans(pilot, attempts.states[0, :most], search)
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
    bank = seen_states(attempts, _MOST_SEEN)
    yield Gallery(
        title="Imagined and done",
        shows="What the model imagines of its plan, above what is seen when it is done",
        note="A column is an action; the first is the start, the last the goal's picture. Top: "
        f"for each latent that was imagined, the nearest of {len(bank)} pictures that were seen in "
        "the attempts, as there is no decoder; what was never seen cannot be shown. Bottom: what "
        "is seen when the plan is done to its end without looking.",
        pictures=saved("imagined", _strips(pilot, plans, bank, search.distance)),
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


def seen_states(attempts: Attempts, most: int) -> Float[ndarray, "n p"]:
    """The different states of all attempts, `most` evenly spread ones where there are more."""
    different = np.unique(attempts.states.reshape(-1, attempts.states.shape[-1]), axis=0)
    count = min(most, len(different))
    return different[np.linspace(0, len(different) - 1, count).round().astype(int)]


def nearest_seen(
    pilot: ModelPilot,
    latents: Float[Tensor, "n d"],
    bank: Float[ndarray, "k p"],
    distance: Distance | Apart,
) -> Float[ndarray, "n p"]:
    """For each latent the state of the bank whose picture has the nearest one."""
    known = latents_of(pilot.model, pilot.world, bank).float().cpu()[None, :, None]
    nearest = [int(nearness(one[None], distance)(known, known).argmin()) for one in latents]
    return bank[nearest]


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


def _strips(
    pilot: ModelPilot, plans: FirstPlans, bank: Float[ndarray, "k p"], distance: Distance | Apart
) -> Iterator[UInt8[Tensor, "h w 3"]]:
    goals = pilot.goals[: len(plans.states), None]
    starts = plans.states[:, :1]
    nearest = nearest_seen(pilot, plans.imagined.flatten(0, 1), bank, distance)
    imagined = nearest.reshape(plans.states[:, 1:].shape)
    rows = (
        np.concatenate((starts, imagined, goals), axis=1),
        np.concatenate((plans.states, goals), axis=1),
    )
    for above, below in zip(*rows, strict=True):
        shown = torch.from_numpy(pilot.world.pictures(np.stack((above, below))))
        height, width = shown.shape[2:4]
        times = -(-_LEAST_SIDE // height)
        large = enlarge(shown, times * height, times * width)
        # worlds may be as white as the gaps between tiles
        yield tile(pad(large, (0, 0, 1, 1, 1, 1), value=_EDGE))


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
