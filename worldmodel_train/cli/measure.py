"""Measures a run: a checkpoint of it against the weights that it started from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from worldmodel_train.cli.measurable import Measurable
from worldmodel_train.cli.objectives import load_trained, trained_objective, untrained_objective
from worldmodel_train.evaluation.evaluate import evaluate
from worldmodel_train.evaluation.leaderboard import append_to_leaderboard
from worldmodel_train.evaluation.ranks import ALONE, Ranks
from worldmodel_train.evaluation.report import write_report
from worldmodel_train.evaluation.result import EvaluationResult, save_result
from worldmodel_train.evaluation.showing import Showing, shown_to_nobody
from worldmodel_train.evaluation.task import Subject, Task, is_shared
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder, find_checkpoint
from worldmodel_train.training.strategies.processes import Processes

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def last_of(recipe: Recipe, run_dir: Path) -> Measurable:
    """The last checkpoint of the recipe's run.

    Raises:
        ValueError: There is none.
    """
    checkpoint = CheckpointFolder(run_dir).last()
    if checkpoint is None:
        raise ValueError(f"{run_dir} has no checkpoint; run `wmt pretrain {recipe.name}`")
    return Measurable(run_dir=run_dir, checkpoint=checkpoint, results=run_dir)


def measure_checkpoint(
    recipe: Recipe,
    tasks: Sequence[Task],
    what: Measurable,
    earlier: EvaluationResult | None,
    *,
    ranks: Ranks = ALONE,
    showing: Showing = shown_to_nobody,
) -> EvaluationResult | None:
    """What tasks find in a checkpoint, with what others found `earlier`; None on further ranks.

    `evaluation.json` and `report.html` are written, and rows of the leaderboard beside the run.
    What ranks share comes first, then the first one has the rest to itself.

    Raises:
        ValueError: The weights do not fit the recipe.
    """
    shared = [task for task in tasks if is_shared(task)]
    if ranks.rank != 0:
        if shared:
            for _ in evaluate(open_subject(recipe, what, ranks), shared, step=0):
                pass
        return None
    subject = replace(open_subject(recipe, what, ranks), showing=showing)
    step = read_meta(what.checkpoint).step
    result = earlier or EvaluationResult(name=recipe.name, measurements=())
    tasks = [*shared, *(task for task in tasks if not is_shared(task))]
    for task, found in zip(tasks, evaluate(subject, tasks, step=step), strict=True):
        measurement = found.on_shards(what.shards) if task.needs_held_out else found
        result = result.with_measurements([measurement])
        save_result(result, what.results)  # a later task may fail, and this one took its time
        append_to_leaderboard(
            what.run_dir, recipe=recipe.name, method=subject.method, measurement=measurement
        )
    write_report(result, what.results)
    return result


def open_subject(recipe: Recipe, what: Measurable, ranks: Ranks = ALONE) -> Subject:
    """Both models on the device to measure on; nothing of the data is read yet."""
    trained, untrained = untrained_objective(recipe), untrained_objective(recipe)
    assert isinstance(trained, nn.Module)
    assert isinstance(untrained, nn.Module)
    trained, untrained = _on_device(trained, recipe), _on_device(untrained, recipe)
    load_trained(trained, what.checkpoint)

    def other_run(run: Path, key: str) -> nn.Module:
        return _on_device(trained_objective(find_checkpoint(run, key)), recipe).eval()

    return Subject(
        method=recipe.method.name,
        trained=trained,
        untrained=untrained,
        preparation=recipe.method.preparation(),
        data=recipe.data,
        run_dir=what.results,
        ranks=ranks,
        beside={
            name: _on_device(trained_objective(checkpoint), recipe).eval()
            for name, checkpoint in what.beside.items()
        },
        other_run=other_run,
    )


def _on_device(objective: ModuleT, recipe: Recipe) -> ModuleT:
    if not torch.cuda.is_available() or recipe.train.accelerator == "cpu":
        return objective.to("cpu")
    processes = Processes.from_environment()
    gpus = processes.node_gpus(torch.cuda.device_count())
    gpu = gpus[processes.environment.local_rank()]
    torch.cuda.set_device(gpu)  # Triton launches there, wherever the tensors are
    return objective.to(gpu)
