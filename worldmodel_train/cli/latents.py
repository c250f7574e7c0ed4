"""`wmt data latents`: what a trained encoder makes of clips, once and for all."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from worldmodel_train.cli.shard_commands import counting, one_line_errors
from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.data.config import DataConfig
    from worldmodel_train.data.source_config import SourceConfig

PartOption = Annotated[str, typer.Option(help="The encoder among the run's modules.")]
LayerOption = Annotated[
    int | None,
    typer.Option(min=0, help="Take the stream after so many blocks, not the encoder's output."),
]
SourceOption = Annotated[
    str | None,
    typer.Option(
        help="Clips of this source of the recipe; the held-out one too.",
        show_default="the first that is trained on",
    ),
]
ShardsOption = Annotated[
    list[str] | None,
    typer.Option(help="Read these shards in its place, cut in the same way; repeatable."),
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(help="Text file with a class a line.", show_default="data.classes, if any"),
]
ClipsOption = Annotated[
    int | None, typer.Option(min=1, help="End after so many.", show_default="all videos")
]
PrecisionOption = Annotated[
    Literal["bf16", "fp16", "fp32"], typer.Option(help="How numbers are kept.")
]


def latents(  # noqa: PLR0913 - each is an option
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory or a checkpoint.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    *,
    part: PartOption = "target_encoder",
    layer: LayerOption = None,
    source: SourceOption = None,
    shards: ShardsOption = None,
    classes: ClassesOption = None,
    clips: ClipsOption = None,
    views: Annotated[int, typer.Option(min=1, help="Clips of each video, spread over it.")] = 1,
    precision: PrecisionOption = "bf16",
    batch: Annotated[int, typer.Option(min=1, help="Clips encoded together.")] = 16,
    shard_mb: Annotated[int, typer.Option(min=1, help="MiB of a shard.")] = 256,
) -> None:
    """Write what a run's encoder makes of centre crops; repeat a command that was cut to go on.

    The folder is what `data: {name: data/latents, folder: OUT}` of a recipe learns from.
    """
    from worldmodel_train.cli.latent_encoder import open_encoder
    from worldmodel_train.data.class_list import read_classes
    from worldmodel_train.data.config import DataConfig
    from worldmodel_train.data.latents.index import MadeOf
    from worldmodel_train.data.latents.write import LatentsWriter, Sizes

    recipe, encoder = open_encoder(run, part=part, layer=layer, fp32=precision == "fp32")
    data = recipe.data
    if not isinstance(data, DataConfig):
        raise ValueError(f"{run} was trained on {data.name}; latents are made of clips of videos")
    chosen = _source(data, source, shards)
    if classes is not None:
        data = data.model_copy(update={"classes": read_classes(str(classes))})
    grid, width = encoder.shape(chosen.clip.frames, *data.augment.frame_size)
    made_of = MadeOf(
        recipe=recipe.name,
        part=part,
        encoder=encoder.fingerprint,
        layer=layer,
        source=chosen.name,
        shards=chosen.patterns,
        clip=(chosen.clip.frames, data.augment.frame_size.height, data.augment.frame_size.width),
        fps=chosen.clip.fps,
        views=views,
        most_clips=clips,
        grid=grid,
        width=width,
        precision=precision,
        classes=data.classes,
    )
    with one_line_errors(out):
        writer = LatentsWriter(out, made_of, Sizes(batch=batch, shard_mb=shard_mb))
        if writer.kept:
            typer.echo(f"{printable(out)} has {writer.kept} clips; going on after these")
        with counting("clips", _most(chosen, views, clips), writer.kept) as tell:
            writer.write(partial(data.each_video, chosen, segments=views), encoder, tell)
    typer.echo(
        f"{printable(out)}: {writer.clips} clips of {made_of.num_tokens} tokens of {width} "
        f"channels in {writer.num_shards} shards, {writer.skipped} videos skipped"
    )


def _source(data: "DataConfig", name: str | None, shards: list[str] | None) -> "SourceConfig":
    """The source of that name, or the first; of these shards, if any are named."""
    sources = [*data.sources, *([data.held_out] if data.held_out else [])]
    found = [source for source in sources if name in (None, source.name)]
    if not found:
        known = ", ".join(source.name for source in sources)
        raise ValueError(f"--source {name} is none of the recipe's, which are {known}")
    return found[0].model_copy(update={"shards": tuple(shards)}) if shards else found[0]


def _most(source: "SourceConfig", views: int, limit: int | None) -> int:
    """Clips that there will be if all videos are good."""
    from worldmodel_train.data.shards.resolve import resolve_shards
    from worldmodel_train.data.shards.shard_set import ShardSet

    all_of_them = len(ShardSet(resolve_shards(source))) * views
    return all_of_them if limit is None else min(limit, all_of_them)
