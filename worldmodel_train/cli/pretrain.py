"""`wmt pretrain`: train a recipe, and measure what came of it."""

import logging
from typing import Annotated, Literal

import typer
from rich.logging import RichHandler

from worldmodel_train.cli.first_look import first_look
from worldmodel_train.training.metrics.terminal import PrintableFormatter, terminal

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
    log_to_terminal()
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

    result = run(pretrain_parts(loaded, resume, profile_steps=profile))
    if result.exit_code:
        raise typer.Exit(result.exit_code)
    if loaded.evaluation:
        from worldmodel_train.cli.evaluation import measure_what_is_new

        measure_what_is_new(loaded)


def log_to_terminal() -> None:
    """The log of both packages, on standard error."""
    handler = RichHandler(console=terminal(), show_path=False, show_level=False)
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in ("worldmodel_train", "worldmodel_kernels"):
        logging.getLogger(package).setLevel(logging.INFO)
