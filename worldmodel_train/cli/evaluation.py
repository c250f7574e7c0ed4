"""`wmt eval`, `wmt report`, `wmt compare`: measure runs, and set them side by side."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from worldmodel_train.cli.first_look import first_look
from worldmodel_train.cli.measuring import measuring
from worldmodel_train.cli.pretrain import OverridesArgument, RecipeArgument, log_to_terminal
from worldmodel_train.config.printable import printable
from worldmodel_train.training.metrics.terminal import terminal

if TYPE_CHECKING:
    from worldmodel_train.cli.measurable import Measurable
    from worldmodel_train.evaluation.ranks import Ranks
    from worldmodel_train.evaluation.result import EvaluationResult
    from worldmodel_train.evaluation.task import Task
    from worldmodel_train.recipe import Recipe

_log = logging.getLogger(__name__)


def eval_(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run directory, whose last checkpoint is measured; a checkpoint; or a Hugging "
            "Face folder of V-JEPA 2, I-JEPA or VideoMAE."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK.KEY=VALUE]...", help="Such as pen_strokes.splits=1."),
    ] = None,
    *,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Measure only this task, also one that the recipe does not name."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARDS", help="Measure on these, not on data.held_out; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run directory to import a Hugging Face folder into.",
            show_default="runs/ and the folder's name",
        ),
    ] = None,
) -> None:
    """Measure a model by the recipe it has stored; what other tasks found before stays.

    Under torchrun or srun, one process for each GPU, they share the videos of tasks that read many.
    """
    log_to_terminal()
    from worldmodel_train.cli.measurable import measurable
    from worldmodel_train.cli.ranks import launched_ranks
    from worldmodel_train.evaluation.ranks import on_first
    from worldmodel_train.recipe import TASKS, load_stored_recipe_with
    from worldmodel_train.training.checkpoints.files import RECIPE

    ranks = launched_ranks()
    what, shards = on_first(ranks, lambda: measurable(run, out)), tuple(data or ())
    stored = what.checkpoint / RECIPE
    recipe = load_stored_recipe_with(stored, task or (), overrides or (), held_out=shards)
    if not recipe.evaluation:
        known = ", ".join(sorted(TASKS))
        raise ValueError(f"the recipe of {run} names no task; name one by --task, of: {known}")
    if shards:
        require_shards(recipe)
    result = measure_stored(recipe, replace(what, shards=shards), ranks=ranks)
    if result is not None:
        _show(result, what.results)


def measure_stored(
    recipe: "Recipe",
    what: "Measurable",
    *,
    ranks: "Ranks | None" = None,
) -> "EvaluationResult | None":
    """What the recipe's tasks find, beside what others found before; None on further ranks."""
    from worldmodel_train.evaluation.ranks import ALONE
    from worldmodel_train.evaluation.result import RESULT_FILE, load_result

    earlier = load_result(what.results) if (what.results / RESULT_FILE).is_file() else None
    with measuring(terminal()) as showing:
        from worldmodel_train.cli.measure import measure_checkpoint
        from worldmodel_train.cli.planned_world import require_the_world_of_the_episodes

        require_the_world_of_the_episodes(recipe)
        return measure_checkpoint(
            recipe,
            recipe.evaluation or (),
            what,
            earlier,
            ranks=ranks or ALONE,
            showing=showing,
        )


def require_shards(recipe: "Recipe") -> None:
    """Raises ValueError where held-out shards are missing, before a model is built."""
    from worldmodel_train.data.shards.resolve import resolve_shards
    from worldmodel_train.data.source_config import ShardsConfig

    held_out = recipe.data.held_out
    assert isinstance(held_out, ShardsConfig), "they were put there"
    resolve_shards(held_out)


def report(recipe: RecipeArgument, overrides: OverridesArgument = None) -> None:
    """Measure a run's last checkpoint again and rewrite its report.html."""
    log_to_terminal()
    first_look(recipe, overrides or ())
    from worldmodel_train.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    if not loaded.evaluation:
        raise ValueError(
            f"recipe {loaded.name} names no task; add evaluation='[{{name: held_out_loss}}]'"
        )
    from worldmodel_train.cli.ranks import launched_ranks

    _measure(loaded, loaded.evaluation, None, launched_ranks())


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories that have been measured.")],
) -> None:
    """Set measured runs side by side, of any methods, with mean and spread."""
    from worldmodel_train.evaluation.compare import comparison_table
    from worldmodel_train.evaluation.result import RESULT_FILE, load_result

    for run in runs:
        if not (run / RESULT_FILE).is_file():
            raise ValueError(f"{run} has no {RESULT_FILE}; measure it with `wmt eval {run}`")
    times = Counter(run.name for run in runs)
    names = [run.name if times[run.name] == 1 else str(run) for run in runs]
    results = {name: load_result(run) for name, run in zip(names, runs, strict=True)}
    Console().print(comparison_table(results))


def measure_what_is_new(recipe: "Recipe") -> None:
    """Measures tasks that were not measured so at this step; results of other steps are dropped.

    All ranks call it; where they share no task, the first one does all and the others nothing.
    """
    from worldmodel_train.cli.ranks import launched_ranks
    from worldmodel_train.evaluation.ranks import ALONE, on_first
    from worldmodel_train.evaluation.task import is_shared
    from worldmodel_train.training.strategies.processes import Processes

    tasks = recipe.evaluation or ()
    if any(map(is_shared, tasks)):
        ranks = launched_ranks()
    elif Processes.from_environment().rank == 0:
        ranks = ALONE
    else:
        return
    earlier, names = on_first(ranks, lambda: _what_is_new(recipe))
    if names:
        _measure(recipe, [task for task in tasks if task.name in names], earlier, ranks)
    elif earlier is not None and ranks.rank == 0:
        _show(earlier, recipe.run_path)


def _what_is_new(recipe: "Recipe") -> tuple["EvaluationResult | None", tuple[str, ...]]:
    """What was measured of the last checkpoint, and the names of tasks that were not."""
    from worldmodel_train.evaluation.evaluate import settings_of
    from worldmodel_train.training.checkpoints.files import read_meta
    from worldmodel_train.training.checkpoints.folder import CheckpointFolder

    run_dir, tasks = recipe.run_path, recipe.evaluation or ()
    earlier, checkpoint = _earlier(run_dir), CheckpointFolder(run_dir).last()
    if earlier is not None and checkpoint is not None:
        earlier = earlier.at_step(read_meta(checkpoint).step)
        known = [one.settings for one in earlier.measurements]
        tasks = [task for task in tasks if settings_of(task) not in known]
    return earlier, tuple(task.name for task in tasks)


def _earlier(run_dir: Path) -> "EvaluationResult | None":
    """What was measured before; what cannot be read is measured again."""
    from worldmodel_train.evaluation.result import RESULT_FILE, load_result

    if not (run_dir / RESULT_FILE).is_file():
        return None
    try:
        return load_result(run_dir)
    except ValueError as error:
        _log.warning("measured again, all of it: %s", error)
        return None


def _measure(
    recipe: "Recipe", tasks: "Sequence[Task]", earlier: "EvaluationResult | None", ranks: "Ranks"
) -> None:
    """Measures the last checkpoint of the recipe's run, and shows what was found.

    Raises:
        ValueError: There is none, or its weights do not fit the recipe.
    """
    from worldmodel_train.cli.measure import last_of, measure_checkpoint
    from worldmodel_train.evaluation.ranks import on_first

    what = on_first(ranks, lambda: last_of(recipe, recipe.run_path))
    with measuring(terminal()) as showing:
        result = measure_checkpoint(recipe, tasks, what, earlier, ranks=ranks, showing=showing)
    if result is not None:
        _show(result, what.results)


def _show(result: "EvaluationResult", run_dir: Path) -> None:
    from worldmodel_train.evaluation.summary import summary_tables

    for table in summary_tables(result):
        Console().print(table)
    show_where(run_dir)


def show_where(run_dir: Path) -> None:
    """Says where the page and the curves are."""
    from worldmodel_train.evaluation.report import REPORT_FILE

    typer.echo(printable(f"report: {run_dir / REPORT_FILE}", 5000))
    typer.echo(printable(f"curves: tensorboard --logdir {run_dir}", 5000))
