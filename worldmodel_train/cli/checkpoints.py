"""`wmt import` and `wmt export`: weights of other code bases in and out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from worldmodel_train.cli.first_look import first_look
from worldmodel_train.cli.pretrain import OverridesArgument, RecipeArgument
from worldmodel_train.config.printable import printable_lines


def import_(
    recipe: RecipeArgument,
    source: Annotated[
        Path,
        typer.Argument(help="A merged .safetensors, a Hugging Face directory or a Meta .pt file."),
    ],
    out: Annotated[Path, typer.Argument(help="Run directory to write a checkpoint into.")],
    overrides: OverridesArgument = None,
    *,
    encoder_only: Annotated[
        bool, typer.Option("--encoder-only", help="The file has no predictor; draw a new one.")
    ] = False,
    optimizer: Annotated[
        bool,
        typer.Option("--optimizer", help="Take AdamW's moments too, as a cooldown needs them."),
    ] = False,
) -> None:
    """Read weights into a recipe's model; `train.init` can then start from OUT."""
    first_look(recipe, overrides or ())
    from worldmodel_train.cli.foreign_run import import_into
    from worldmodel_train.interop import ALL_PARTS, ENCODERS
    from worldmodel_train.recipe import load_recipe
    from worldmodel_train.training.checkpoints.folder import CheckpointFolder

    loaded = load_recipe(recipe, overrides or ())
    if CheckpointFolder(out).last() is not None:
        raise ValueError(f"{out} holds a run already; choose another directory")
    report, checkpoint = import_into(
        out,
        loaded,
        source,
        parts=ENCODERS if encoder_only else ALL_PARTS,
        optimizer=optimizer,
    )
    _say(report)
    _say(f"wrote {checkpoint}")
    moments = "true" if optimizer else "false"
    _say(f"start from it with train.init='{{checkpoint: {out}, optimizer: {moments}}}'")


def export(
    out: Annotated[
        Path, typer.Argument(help="File (merged, meta) or directory (huggingface) to write.")
    ],
    *,
    from_run: Annotated[
        Path, typer.Option(help="A run directory (its last checkpoint is taken), or a checkpoint.")
    ],
    layout: Annotated[
        Literal["merged", "huggingface", "meta"],
        typer.Option(help="One safetensors file of our own names, or as others store them."),
    ] = "merged",
) -> None:
    """Write a run's weights, whole; needs neither a GPU nor what sharded them."""
    from worldmodel_train.training.checkpoints.files import RECIPE
    from worldmodel_train.training.checkpoints.folder import find_checkpoint
    from worldmodel_train.training.checkpoints.reader import read_weights

    checkpoint = find_checkpoint(from_run, "--from-run")
    if layout == "merged":
        from worldmodel_train.interop import export_merged

        _say(export_merged(read_weights(checkpoint), out))
        return
    from worldmodel_train.cli.objectives import trained_objective
    from worldmodel_train.interop import (
        ClipSize,
        export_checkpoint,
        export_motion,
        motion_parts,
    )
    from worldmodel_train.recipe import load_stored_recipe

    recipe = load_stored_recipe(checkpoint / RECIPE)
    objective = trained_objective(checkpoint)
    motion = motion_parts(objective)
    if layout == "meta" and motion is not None:
        _say(export_motion(out, motion))
        return
    sources = recipe.data.facts().sources
    if not sources:
        raise ValueError(f"layout {layout} is of models of clips; use merged")
    clip = ClipSize(*sources[0].clip)
    _say(export_checkpoint(objective, out, layout=layout, clip=clip))


def _say(text: object) -> None:
    typer.echo(printable_lines(text, 5000))
