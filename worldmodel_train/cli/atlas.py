"""`wmt atlas`: a page of what a run's encoder holds."""

from pathlib import Path
from typing import Annotated

import typer

from worldmodel_train.config.printable import printable


def atlas(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run directory, whose last checkpoint is looked at; a checkpoint; or a Hugging "
            "Face folder of V-JEPA 2, I-JEPA or VideoMAE.",
        ),
    ],
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARDS", help="Clips to show, not those of data.held_out; repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run directory to import a Hugging Face folder into.",
            show_default="runs/ and the folder's name",
        ),
    ] = None,
    films: Annotated[int, typer.Option(min=8, help="Films of each known scene.")] = 480,
    clips: Annotated[int, typer.Option(min=1, help="Held-out clips of the run, at most.")] = 128,
    steps: Annotated[
        int, typer.Option(min=1, help="Steps of the sparse autoencoder that is trained for it.")
    ] = 400,
) -> None:
    """Write RUN/atlas.html: known states, features, and what follows what, beside baselines."""
    from worldmodel_train.cli.evaluation import require_shards
    from worldmodel_train.cli.measurable import measurable
    from worldmodel_train.cli.measure import open_subject
    from worldmodel_train.evaluation.atlas.chapters import chapters
    from worldmodel_train.evaluation.atlas.page import write_atlas
    from worldmodel_train.evaluation.atlas.subject import Effort, gather
    from worldmodel_train.recipe import load_stored_recipe_with
    from worldmodel_train.training.checkpoints.files import RECIPE

    what, shards = measurable(run, out), tuple(data or ())
    recipe = load_stored_recipe_with(what.checkpoint / RECIPE, (), (), held_out=shards)
    if shards:
        require_shards(recipe)
    effort = Effort(films=films, clips=clips, dictionary_steps=steps)
    material = gather(open_subject(recipe, what), effort)
    page = write_atlas(recipe.name, chapters(material), what.results)
    typer.echo(printable(f"atlas: {page}", 5000))
