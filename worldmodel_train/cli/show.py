"""`wmt show` and `wmt schema`: what a recipe says, what it costs, and what it may say."""

import json
import os
from functools import reduce
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from worldmodel_train.cli.first_look import first_look

if TYPE_CHECKING:
    from worldmodel_train.models.cost import StepCost
    from worldmodel_train.recipe import Recipe


def show(  # noqa: PLR0913 - one parameter for each option of the command line
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or path of its file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as train.steps=100.")
    ] = None,
    *,
    cost: Annotated[bool, typer.Option("--cost", help="Show what it costs instead.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Show GPU memory instead.")] = False,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs, for --memory.")] = 1,
    gpu: Annotated[str, typer.Option("--gpu", help="Kind of GPU.")] = "h200",
    run_dir: Annotated[
        bool, typer.Option("--run-dir", help="Show only the run's directory, for scripts.")
    ] = False,
) -> None:
    """Show all values of a recipe and where each comes from, or what the run costs or takes."""
    first_look(recipe, overrides or ())
    from worldmodel_train.recipe import read_recipe

    read = read_recipe(recipe, overrides or ())
    if run_dir:
        typer.echo(os.fsencode(read.recipe.run_path))  # a script needs the very bytes
        return
    if cost:
        _show_cost(read.recipe, gpu)
    if memory:
        _show_memory(read.recipe, gpus, gpu)
    if cost or memory:
        return
    from worldmodel_train.config.annotate import annotated_yaml
    from worldmodel_train.recipe import resolved_values

    typer.echo(annotated_yaml(resolved_values(read.recipe), read.origins), nl=False)


def schema() -> None:
    """Print the JSON schema of recipes, for editors that complete and check YAML."""
    from worldmodel_train.recipe import recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=2))


def _show_memory(recipe: "Recipe", num_gpus: int, gpu: str) -> None:
    from worldmodel_train.cli.gpus import find_gpu
    from worldmodel_train.cli.memory import recipe_memory
    from worldmodel_train.cli.memory_table import advice, memory_table

    console = Console(highlight=False)
    size = 1e9 * find_gpu(gpu).memory_gb
    shown = recipe_memory(recipe, num_gpus, gpu_bytes=size)
    console.print(memory_table(shown, gpu))
    if shown.precision != "bf16":
        in_bf16 = recipe_memory(recipe, num_gpus, precision="bf16", gpu_bytes=size)
        console.print(memory_table(in_bf16, gpu))
    console.print(advice(recipe, shown, gpu), markup=False)
    console.print("Computed, not measured. CUDA's context, NCCL and gaps come on top.")


def _show_cost(recipe: "Recipe", gpu: str) -> None:
    from worldmodel_train.cli.gpus import find_gpu
    from worldmodel_train.cli.step_cost import cost_of
    from worldmodel_train.models.cost import total_flops

    speed, train = find_gpu(gpu), recipe.train
    cost = cost_of(recipe)
    console = Console(highlight=False)
    console.print(_parameters(cost))
    for one in cost.tables:
        table = Table(*one.columns, title=one.title, title_justify="left")
        for row in one.rows:
            table.add_row(*row)
        console.print(table)
    console.print(_flops(cost))
    clip, clips = total_flops(cost), train.steps * train.global_batch
    hours = clips * clip / (speed.tflops * 1e12) / 3600
    time = f"{hours * 60:.2g} minutes" if hours < 1 else f"{hours:,.0f} GPU-hours"
    console.print(
        f"Run: {train.steps:,} steps x {train.global_batch:,} clips = "
        f"{clips:,} clips, {clips * clip:.3g} FLOP\n"
        f"Floor on one {gpu.upper()} ({speed.tflops:g} TFLOP/s bf16, {speed.origin}): "
        f"{speed.tflops * 1e12 / clip:,.1f} clips/s, {time}\n"
        "The floor counts matrix products only; a real step takes longer."
    )


def _parameters(cost: "StepCost") -> Table:
    table = Table("part", "parameters", title="Parameters", title_justify="left")
    for part, count in cost.parameters.items():
        table.add_row(part, f"{count / 1e6:,.1f} M")
    return table


def _flops(cost: "StepCost") -> Table:
    columns = ("part", "linear", "attention", "GFLOP", "share")
    table = Table(*columns, title="GFLOP per clip and step", title_justify="left")
    whole = reduce(lambda one, other: one.plus(other), cost.flops.values())
    for name, flops in {**cost.flops, "all": whole}.items():
        numbers = (f"{value / 1e9:,.1f}" for value in (flops.linear, flops.attention, flops.total))
        table.add_row(name, *numbers, f"{flops.total / whole.total:.1%}")
    return table
