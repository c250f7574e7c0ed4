"""Errors of trained V-JEPA 2-ACs beside copying, and what they owe to being told the motion.

    wmt pretrain demo; wmt pretrain vjepa2_ac_bridge_tiny
    python -m benchmarks.learning.vjepa2_ac runs/vjepa2_ac_bridge_tiny

One window of each episode, of those held out and of those trained on.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.nn import functional

from worldmodel_train.cli.objectives import trained_objective
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.data.trajectories.windows import fixed_windows
from worldmodel_train.jepa.vjepa2_ac import SeenFrames, VJepa2Ac
from worldmodel_train.models.robot_pose import pose_changes
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import find_checkpoint
from worldmodel_train.types import Trajectories

MOST_EPISODES = 256


@torch.no_grad()
def errors(model: VJepa2Ac, content: Trajectories) -> dict[str, float]:
    """Mean L1 of next frames' latents, all frames before them known."""
    assert content.states is not None
    latents, grid = model.frames(content.observations)
    true = SeenFrames(latents, pose_changes(content.states), content.states, grid)
    told = {
        "predicted": true,
        "told of no motion": replace(true, actions=torch.zeros_like(true.actions)),
        "told of another window's motion": replace(true, actions=true.actions.roll(1, dims=0)),
    }
    predictions = {name: model.teacher_forced(seen) for name, seen in told.items()}
    target, copied = latents[:, 1:], latents[:, :-1]
    return {
        name: functional.l1_loss(prediction, target).item()
        for name, prediction in {**predictions, "copied": copied}.items()
    }


def measure(run: Path) -> dict[str, dict[str, float]]:
    """The errors of a run on episodes held out and on those trained on."""
    checkpoint = find_checkpoint(run, "RUN")
    data = load_stored_recipe(checkpoint / RECIPE).data
    model = trained_objective(checkpoint).eval()
    assert isinstance(model, VJepa2Ac)
    assert isinstance(data, TrajectoriesConfig)
    seen = fixed_windows(data, data.sources[0], limit=MOST_EPISODES)
    return {
        "held out": errors(model, data.held_out_content(MOST_EPISODES)),
        "trained on": errors(model, seen),
    }


def main(runs: Annotated[list[Path], typer.Argument(help="Run directories.")]) -> None:
    """Prints the errors of each run as JSON."""
    typer.echo(json.dumps({str(run): measure(run) for run in runs}, indent=2))


if __name__ == "__main__":
    typer.run(main)
