"""Measures a run: its last checkpoint against the weights that it started from."""

from typing import cast

import torch
from torch import nn

from worldmodel_train.cli.objectives import untrained_objective
from worldmodel_train.cli.run_spec import held_out_clips
from worldmodel_train.evaluation.evaluate import evaluate
from worldmodel_train.evaluation.frozen import Contestants
from worldmodel_train.evaluation.report import write_report
from worldmodel_train.evaluation.result import EvaluationResult
from worldmodel_train.protocols import LatentPredictor
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.checkpoints.restore import load_weights


def measure(recipe: Recipe) -> EvaluationResult:
    """What the run of `recipe` has learned; `evaluation.json` and `report.html` are written.

    Raises:
        ValueError: The run has no checkpoint, or its weights do not fit the recipe.
    """
    config, source = recipe.evaluation, recipe.data.held_out
    assert config is not None, "the caller has looked"
    assert source is not None, "recipes with evaluation have held-out clips"
    checkpoint = CheckpointFolder(recipe.run_path).last()
    if checkpoint is None:
        raise ValueError(f"{recipe.run_path} has no checkpoint; run `wmt pretrain {recipe.name}`")
    trained, untrained = untrained_objective(recipe), untrained_objective(recipe)
    assert isinstance(trained, nn.Module)
    assert isinstance(untrained, nn.Module)
    load_weights(trained, read_weights(checkpoint))
    on_gpu = torch.cuda.is_available() and recipe.train.accelerator != "cpu"
    device = "cuda" if on_gpu else "cpu"
    models = Contestants(
        name=recipe.name,
        trained=cast("LatentPredictor", trained.to(device)),
        untrained=cast("LatentPredictor", untrained.to(device)),
    )
    clips = held_out_clips(
        recipe, source, limit=config.max_clips, clips_per_video=config.clips_per_video
    )
    result = evaluate(models, clips, recipe.method.masks, config, recipe.run_path)
    write_report(result, recipe.run_path)
    return result
