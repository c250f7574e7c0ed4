"""`wmt plan`: what a world model is for: goals that are reached by planning with it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from worldmodel_train.cli.evaluation import measure_stored, show_where
from worldmodel_train.cli.pretrain import log_to_terminal

if TYPE_CHECKING:
    from worldmodel_train.evaluation.result import EvaluationResult
    from worldmodel_train.recipe import Recipe

_TASK = "planning"


def plan(
    run: Annotated[
        Path, typer.Argument(help="A run of a world model with actions, or a checkpoint of one.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Such as goals=100 or, with --planner, planner.horizon=8.",
        ),
    ] = None,
    *,
    env: Annotated[
        str | None, typer.Option(help="The world, such as envs/two_rooms.", show_default="recipe")
    ] = None,
    planner: Annotated[
        str | None,
        typer.Option(help="Such as cem, icem, mppi or gradient.", show_default="recipe"),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Another run, that is asked for the same goals; repeatable."),
    ] = None,
    decoder: Annotated[
        Path | None,
        typer.Option(
            help="A run of renderers/frame_decoder on this very run: paints what is imagined.",
            show_default="recipe",
        ),
    ] = None,
) -> None:
    """Reach goals in a world by planning with a run's model, beside what needs no model."""
    log_to_terminal()
    from worldmodel_train.cli.measurable import measurable
    from worldmodel_train.recipe import load_stored_recipe_with
    from worldmodel_train.training.checkpoints.files import RECIPE

    named = {
        "env": env,
        "planner": None if planner is None else f"{{name: {planner}}}",
        "decoder": decoder,
    }
    asked = [f"{key}={value}" for key, value in named.items() if value is not None]
    what = replace(measurable(run), beside=_checkpoints(beside or ()))
    recipe = load_stored_recipe_with(
        what.checkpoint / RECIPE,
        (_TASK,),
        [f"{_TASK}.{override}" for override in (*asked, *(overrides or ()))],
    )
    for name, checkpoint in what.beside.items():
        _require_the_same_episodes(recipe, what.checkpoint, name, checkpoint)
    result = measure_stored(recipe, what)
    assert result is not None, "one process measures"
    _show(result)
    show_where(what.results)


def _checkpoints(runs: Sequence[Path]) -> dict[str, Path]:
    """The last checkpoint of each, by the name of its folder; by its path where two have one."""
    from worldmodel_train.training.checkpoints.folder import find_checkpoint

    names = [run.resolve().name for run in runs]
    return {
        (name if names.count(name) == 1 else str(run)): find_checkpoint(run, "--beside")
        for name, run in zip(names, runs, strict=True)
    }


def _require_the_same_episodes(
    recipe: "Recipe", checkpoint: Path, name: str, other_checkpoint: Path
) -> None:
    """Raises ValueError where a run beside has learned from pictures or actions of another kind."""
    from worldmodel_train.cli.objectives import known_facts
    from worldmodel_train.recipe import load_stored_recipe
    from worldmodel_train.training.checkpoints.files import RECIPE

    other = load_stored_recipe(other_checkpoint / RECIPE)
    for key in ("name", "actions", "frameskip"):
        one, its = getattr(recipe.data, key, None), getattr(other.data, key, None)
        if one != its:
            raise ValueError(
                f"--beside {name}: its data.{key} is {its}, and that of the run is {one}; runs in "
                "one table must have learned from episodes of one kind"
            )
    facts, other_facts = known_facts(recipe, checkpoint), known_facts(other, other_checkpoint)
    if facts.episodes is None or other_facts.episodes is None:
        return
    shape, other_shape = facts.episodes.observation, other_facts.episodes.observation
    if shape != other_shape:
        raise ValueError(
            f"--beside {name}: it has seen observations of shape {other_shape}, and the run of "
            f"{shape}; use runs of one size"
        )


def _show(result: "EvaluationResult") -> None:
    """The tables of the page, in the terminal."""
    from worldmodel_train.evaluation.summary import shown_table

    for measurement in result.measurements:
        if measurement.task == _TASK:
            for section in measurement.result.sections:
                for table in section.tables:
                    Console().print(shown_table(table))
