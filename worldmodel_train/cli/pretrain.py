"""`wmt pretrain`, `wmt report`, `wmt compare`: train, measure, and set runs side by side."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler

from worldmodel_train.cli.first_look import first_look
from worldmodel_train.config.printable import printable
from worldmodel_train.training.metrics.terminal import PrintableFormatter, terminal

if TYPE_CHECKING:
    from worldmodel_train.evaluation.result import EvaluationResult
    from worldmodel_train.recipe import Recipe

RecipeArgument = Annotated[str, typer.Argument(help="Name of a recipe, or path of its file.")]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as train.steps=100.")
]


def pretrain(
    recipe: RecipeArgument,
    overrides: OverridesArgument = None,
    *,
    resume: Annotated[
        Literal["auto", "never"],
        typer.Option(help="auto: resume the run in run_dir if there is one."),
    ] = "auto",
    processes: Annotated[
        int, typer.Option(min=1, help="Processes on this machine, one for each GPU.")
    ] = 1,
    restarts: Annotated[
        int, typer.Option(min=0, help="Lost processes in a row without a new checkpoint to bear.")
    ] = 3,
    profile: Annotated[
        int | None, typer.Option(min=1, help="Trace so many steps into run_dir/profile, once warm.")
    ] = None,
) -> None:
    """Train a recipe; the same command resumes a run that was stopped or killed."""
    _log_to_terminal()
    first_look(recipe, overrides or ())
    from worldmodel_train.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    from worldmodel_train.cli.check_data import check_data
    from worldmodel_train.cli.check_size import check_size

    check_data(loaded)
    check_size(loaded)
    if processes > 1:
        from worldmodel_train.cli.launch import Launch, launch

        what = Launch(
            arguments=("pretrain", recipe, *(overrides or ())),
            once=() if profile is None else ("--profile", str(profile)),
            resume=resume,
            processes=processes,
            restarts=restarts,
        )
        raise typer.Exit(launch(what, loaded.run_path))
    from worldmodel_train.cli.run_spec import pretrain_parts
    from worldmodel_train.training.run import pretrain as run
    from worldmodel_train.training.strategies.processes import Processes

    result = run(pretrain_parts(loaded, resume, profile_steps=profile))
    if result.exit_code:
        raise typer.Exit(result.exit_code)
    if loaded.evaluation is not None and Processes.from_environment().rank == 0:
        _show(_evaluate_once(loaded), loaded.run_path)


def report(recipe: RecipeArgument, overrides: OverridesArgument = None) -> None:
    """Measure a run's last checkpoint again and rewrite its report.html."""
    _log_to_terminal()
    first_look(recipe, overrides or ())
    from worldmodel_train.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    if loaded.evaluation is None:
        raise ValueError(f"recipe {loaded.name} says nothing under evaluation; add evaluation={{}}")
    _show(_evaluate(loaded), loaded.run_path)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories that have been measured.")],
) -> None:
    """Set measured runs side by side, with mean and spread."""
    from worldmodel_train.evaluation.compare import comparison_table
    from worldmodel_train.evaluation.result import RESULT_FILE, load_result

    for run in runs:
        if not (run / RESULT_FILE).is_file():
            raise ValueError(f"{run} has no {RESULT_FILE}: name run directories that were measured")
    Console().print(comparison_table({run.name: load_result(run) for run in runs}))


def _evaluate_once(recipe: "Recipe") -> "EvaluationResult":
    """The run's result, measured now unless that has been done since its last checkpoint."""
    from worldmodel_train.evaluation.result import RESULT_FILE, load_result
    from worldmodel_train.training.checkpoints.folder import CheckpointFolder

    run_dir = recipe.run_path
    measured, checkpoint = run_dir / RESULT_FILE, CheckpointFolder(run_dir).last()
    if checkpoint is None or not measured.is_file():
        return _evaluate(recipe)
    stale = measured.stat().st_mtime < checkpoint.stat().st_mtime
    return _evaluate(recipe) if stale else load_result(run_dir)


def _evaluate(recipe: "Recipe") -> "EvaluationResult":
    from worldmodel_train.cli.measure import measure

    with terminal().status("measuring on held-out clips"):
        return measure(recipe)


def _show(result: "EvaluationResult", run_dir: Path) -> None:
    from worldmodel_train.evaluation.report import REPORT_FILE
    from worldmodel_train.evaluation.summary import summary_table

    Console().print(summary_table(result))
    typer.echo(printable(f"report: {run_dir / REPORT_FILE}", 5000))
    typer.echo(printable(f"curves: tensorboard --logdir {run_dir}", 5000))


def _log_to_terminal() -> None:
    handler = RichHandler(console=terminal(), show_path=False, show_level=False)
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in ("worldmodel_train", "worldmodel_kernels"):
        logging.getLogger(package).setLevel(logging.INFO)
