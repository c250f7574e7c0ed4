"""The model that a run started from, as a checkpoint: what a trained one is compared with."""

from pathlib import Path

from torch import nn

from worldmodel_train.cli.objectives import untrained_objective
from worldmodel_train.recipe import load_stored_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import CheckpointFolder, find_checkpoint
from worldmodel_train.training.checkpoints.imported import save_imported


def as_drawn(run: Path, out: Path) -> Path:
    """A run directory with the weights that `run` started from."""
    recipe = load_stored_recipe(find_checkpoint(run, "--run") / RECIPE)
    objective = untrained_objective(recipe)
    assert isinstance(objective, nn.Module)
    save_imported(CheckpointFolder(out), objective.state_dict(), resolved_yaml(recipe))
    return out
