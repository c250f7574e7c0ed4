"""Numbers, section and pictures of flow."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.cartography.flow_colours import flow_colours
from worldmodel_train.cartography.tiling import enlarge, tile
from worldmodel_train.evaluation.motion.end_points import EndPointErrors, MovedPictures
from worldmodel_train.evaluation.pictures import save_pictures
from worldmodel_train.evaluation.shown import shown
from worldmodel_train.evaluation.task_result import (
    TRAINED,
    Gallery,
    Number,
    Section,
    TaskResult,
    Verdict,
    contenders_tables,
    once,
)

NO_FLOW, FARNEBACK = "no flow", "Farneback"
PICTURES = "evaluation/optical_flow"
"""Folder of the pictures, below the run directory."""

_SIDE = 96  # pixels that small pictures are enlarged to at most, by a whole factor

_WHERE = {
    "moving": "end-point error, moving pixels",
    "still": "end-point error, still pixels",
    "everywhere": "end-point error, all pixels",
}


def flow_result(errors: Mapping[str, EndPointErrors], num_pairs: int) -> TaskResult:
    """All contenders beside each other; the trained model is one of them."""
    numbers = tuple(
        Number(
            name=name,
            lower_is_better=True,
            trained=once(getattr(errors[TRAINED], where)),
            baselines={
                who: once(getattr(error, where)) for who, error in errors.items() if who != TRAINED
            },
        )
        for where, name in _WHERE.items()
    )
    moving = numbers[0]
    beaten = [who for who, one in moving.baselines.items() if moving.trained.mean < one.mean]
    told = ", ".join(f"{who} {shown(one)}" for who, one in moving.contenders.items())
    return TaskResult(
        measured_on=f"{num_pairs} pairs of pictures of films whose flow is known",
        caption="Mean distance in pixels between where a pixel goes and where it is said to go.",
        numbers=numbers,
        verdicts=(
            Verdict(
                good=len(beaten) == len(moving.baselines),
                claim="Flow of what moves is nearer the truth than that of "
                f"{', '.join(beaten) if beaten else 'nobody it is compared with'}.",
                text=f"Pixels of error: {told}.",
            ),
        ),
        sections=(
            Section(
                title="Where things move",
                tables=contenders_tables("Pixels of error", numbers),
                notes={
                    "Moving pixels": "Those of things in the first picture. All others are still: "
                    "no flow is right there, and nowhere else.",
                    FARNEBACK: "OpenCV's dense flow of polynomials, with the window that is best "
                    "for moving pixels of these pictures.",
                },
            ),
        ),
    )


def flow_gallery(
    flows: Mapping[str, Float[Tensor, "b 2 h w"]], truth: MovedPictures, shown: int, run_dir: Path
) -> Gallery:
    """Both pictures of some pairs, the true flow and everybody's."""
    longest = float(truth.flow[:shown].norm(dim=1).max())
    drawn = [flow_colours(flow[:shown], longest=longest) for flow in (truth.flow, *flows.values())]
    columns = torch.stack((truth.first[:shown], truth.second[:shown], *drawn), dim=1)
    height, width = (side * max(1, _SIDE // side) for side in columns.shape[2:4])
    sheet = tile(enlarge(columns, height, width))
    order = ", ".join(("first picture", "second picture", "true flow", *flows))
    return Gallery(
        title="Flow in colours",
        shows="Pairs of pictures, their true flow and what was found",
        note=f"A row is a pair: {order}. Hue is the direction (right is red, down is "
        f"yellow-green), strength how far, up to {longest:.1f} pixels.",
        pictures=save_pictures(run_dir, f"{PICTURES}/flow", {"flow": sheet}.items()),
    )
