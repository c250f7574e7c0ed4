"""`wmt data`: pack videos, sound or episodes, check and look at shards, keep latents, collect."""

from pathlib import Path
from typing import Annotated

import typer

from worldmodel_train.cli.collect import collect
from worldmodel_train.cli.latents import latents
from worldmodel_train.cli.pack import merge, pack
from worldmodel_train.cli.shard_commands import (
    LONGEST_LINE,
    OutArgument,
    WorkersOption,
    cores,
    one_line_errors,
)
from worldmodel_train.config.printable import printable

app = typer.Typer(
    name="data",
    help="Pack videos, sound or episodes into tar shards; check these; keep latents; collect.",
    no_args_is_help=True,
)
app.command()(pack)
app.command()(merge)
app.command()(latents)
app.command()(collect)


@app.command()
def index(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of tar shards.")
    ],
    *,
    workers: WorkersOption = cores(),  # noqa: B008 - the cores of this machine, once
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Give up a shard after so many seconds without progress.")
    ] = 600.0,
) -> None:
    """Write FOLDER/samples.idx, so that training opens no shard to find its samples.

    `pack` writes it already; this makes it for sets from elsewhere, or again.
    """
    from worldmodel_train.data.packing.index_folder import index_folder

    lost = 0
    for folder in folders:
        with one_line_errors(folder):
            report = index_folder(folder, workers=workers, timeout_s=timeout)
        for line in report.lines(folder):
            typer.echo(printable(line, LONGEST_LINE))
        lost += len(report.lost)
    if lost:
        raise typer.Exit(1)


@app.command()
def check(
    out: OutArgument,
    *,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every frame, not only the first and last.")
    ] = False,
    workers: WorkersOption = cores(),  # noqa: B008 - the cores of this machine, once
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Give up a shard after so many seconds without progress.")
    ] = 60.0,
) -> None:
    """Verify shards against index.json: sizes, hashes, counts, json, and that videos open.

    Of episodes (KEY.npz) each is read, and compared with the first good one; recordings of
    sound are decoded. Ends with status 1 and the reasons when something is wrong.
    """
    from rich.console import Console

    from worldmodel_train.data.audio.check import check_recordings, holds_recordings
    from worldmodel_train.data.audio.summary import recordings_table
    from worldmodel_train.data.packing.check import check_shards
    from worldmodel_train.data.packing.probe import probe_all, probe_ends
    from worldmodel_train.data.packing.summary import summary_table
    from worldmodel_train.data.trajectories.check import check_episodes, holds_episodes
    from worldmodel_train.data.trajectories.summary import episodes_table, scale_lines

    probe = probe_all if decode else probe_ends
    with one_line_errors(out):
        if holds_episodes(out):
            report = check_episodes(out, probe, workers=workers, timeout_s=timeout)
            table, lines = episodes_table(report, out), scale_lines(report)
        elif holds_recordings(out):
            report = check_recordings(out, workers=workers, timeout_s=timeout)
            table, lines = recordings_table(report, out), iter(())
        else:
            report = check_shards(out, probe, workers=workers, timeout_s=timeout)
            table, lines = summary_table(report, out), iter(())
    Console().print(table)
    for line in lines:
        typer.echo(line)
    for problem in report.problems:
        typer.echo(f"wrong: {printable(problem)}", err=True)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def show(
    out: OutArgument,
    *,
    clips: Annotated[int, typer.Option(min=1, max=200, help="Rows of the sheet.")] = 10,
    to: Annotated[
        Path | None,
        typer.Option(help="The PNG to write.", show_default="OUT/contact_sheet.png"),
    ] = None,
) -> None:
    """Write a contact sheet: clips or episodes spread over the set, six frames of each."""
    from worldmodel_train.data.packing.contact_sheet import write_contact_sheet
    from worldmodel_train.data.trajectories.check import holds_episodes
    from worldmodel_train.data.trajectories.contact_sheet import write_episode_sheet

    target = to or out / "contact_sheet.png"
    with one_line_errors(out):
        if holds_episodes(out):
            write_episode_sheet(out, target, clips)
        else:
            write_contact_sheet(out, target, clips)
    typer.echo(f"wrote {printable(target)}")
