"""Measures a run: its last checkpoint against the weights that it started from."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from worldmodel_train.cli.objectives import untrained_objective
from worldmodel_train.evaluation.evaluate import evaluate
from worldmodel_train.evaluation.report import write_report
from worldmodel_train.evaluation.result import EvaluationResult, save_result
from worldmodel_train.evaluation.task import Subject, Task
from worldmodel_train.protocols import Objective
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.checkpoints.restore import load_weights
from worldmodel_train.types import Content


def measure(
    recipe: Recipe, tasks: Sequence[Task], run_dir: Path, earlier: EvaluationResult | None
) -> EvaluationResult:
    """What tasks find in the run in `run_dir`, with what others found `earlier`.

    `evaluation.json` and `report.html` are written.

    Raises:
        ValueError: The run has no checkpoint, or its weights do not fit the recipe.
    """
    checkpoint = CheckpointFolder(run_dir).last()
    if checkpoint is None:
        raise ValueError(f"{run_dir} has no checkpoint; run `wmt pretrain {recipe.name}`")
    subject = open_subject(recipe, checkpoint, run_dir)
    step = read_meta(checkpoint).step
    result = earlier or EvaluationResult(name=recipe.name, measurements=())
    for measurement in evaluate(subject, tasks, step=step):
        result = result.with_measurements([measurement])
        save_result(result, run_dir)  # a later task may fail, and this one took its time
    write_report(result, run_dir)
    return result


def open_subject(recipe: Recipe, checkpoint: Path, run_dir: Path) -> Subject:
    """Both models on the device to measure on; nothing of the data is read yet."""
    trained, untrained = _on_device(recipe), _on_device(recipe)
    assert isinstance(trained, nn.Module)
    load_weights(trained, read_weights(checkpoint))
    return Subject(
        method=recipe.method.name,
        trained=trained,
        untrained=untrained,
        preparation=recipe.method.preparation(),
        data=recipe.data,
        run_dir=run_dir,
    )


def _on_device(recipe: Recipe) -> Objective[Content]:
    objective = untrained_objective(recipe)
    assert isinstance(objective, nn.Module)
    on_gpu = torch.cuda.is_available() and recipe.train.accelerator != "cpu"
    return objective.to("cuda" if on_gpu else "cpu")
