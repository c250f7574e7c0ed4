"""`wmt data`: pack videos into shards, index them, check a set of shards, look at it."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.data.packing.encode import EncodeConfig

app = typer.Typer(
    name="data",
    help="Pack videos into tar shards, check a set of shards, look at it.",
    no_args_is_help=True,
)

LONGEST_LINE = 1000  # characters; a line with a path in it must stay whole

OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the shards.")]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes.", show_default="one per core")
]

RootOption = Annotated[
    Path | None,
    typer.Option(help="Where a list's relative paths begin.", show_default="list's folder"),
]
QualityOption = Annotated[
    int | None, typer.Option(min=0, max=51, help="Re-encode at this quality (23); lower is better.")
]

KeyframesOption = Annotated[
    int | None, typer.Option(min=1, help="Re-encode with a keyframe every so many frames (16).")
]
PresetOption = Annotated[
    str | None,
    typer.Option(help="Re-encode for cheap reading: fast (256 px, 8 fps). Other options go first."),
]
PatienceOption = Annotated[
    float,
    typer.Option(
        min=1.0, help="Give up a video after so many seconds without progress, or 240 times in all."
    ),
]
RateOption = Annotated[
    float | None, typer.Option(min=0.1, help="Re-encode at this many frames/s at most.")
]
PartOption = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only part I of N; then wmt data merge.")
]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@app.command()
def pack(  # noqa: PLR0913 - one parameter for each option of the command line
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder, a .csv or .jsonl list, or - for stdin.")
    ],
    out: OutArgument,
    *,
    root: RootOption = None,
    preset: PresetOption = None,
    shard_size: Annotated[str, typer.Option(help="Bytes a shard may have: 1GB, 500MB ...")] = "1GB",
    short_side: Annotated[
        int | None, typer.Option(min=16, help="Re-encode to this shorter side, in pixels.")
    ] = None,
    gop: KeyframesOption = None,
    codec: Annotated[
        str | None, typer.Option(help="Re-encode: h264 (the default) or hevc.")
    ] = None,
    fps: RateOption = None,
    crf: QualityOption = None,
    workers: WorkersOption = _cores(),  # noqa: B008 - the cores of this machine, once
    timeout: PatienceOption = 60.0,
    part: PartOption = None,
    images: Annotated[
        bool, typer.Option("--images", help="Of a folder, pack the pictures and not the videos.")
    ] = False,
) -> None:
    """Pack videos into tar shards; the same command again resumes where it was stopped.

    A list has the columns path, label, caption, start, end (seconds or hh:mm:ss). Of a folder,
    the name of a video's subfolder is its label. Any of --preset, --short-side, --gop, --codec,
    --fps, --crf re-encodes. A picture is a video of one frame. Bad videos, duplicates, folders that
    cannot be read and links that lead nowhere or to a folder go to OUT/rejects.jsonl; hidden files
    are no part of the set.
    """
    from rich.console import Console

    from worldmodel_train.data.packing.entries import read_entries
    from worldmodel_train.data.packing.journal import PackArguments
    from worldmodel_train.data.packing.pack import pack as pack_entries
    from worldmodel_train.data.packing.parts import Part, begin_part
    from worldmodel_train.data.packing.progress import PackProgress
    from worldmodel_train.data.packing.summary import pack_lines
    from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    console = Console(stderr=True)
    with _one_line_errors(out):
        encode = _encode_config(
            preset, {"short_side": short_side, "gop": gop, "codec": codec, "fps": fps, "crf": crf}
        )
        arguments = PackArguments(shard_size=_bytes(shard_size), encode=encode)
        suffixes = IMAGE_SUFFIXES if images else VIDEO_SUFFIXES
        entries = read_entries(source, root, _stdin(), suffixes=suffixes)
        folder = out
        if part is not None:
            folder, entries = begin_part(Part.parse(part), entries, out)
        report = pack_entries(
            entries,
            folder,
            arguments,
            workers=workers,
            timeout_s=timeout,
            progress=PackProgress(console),
        )
    for line in pack_lines(report, folder):
        typer.echo(printable(line, LONGEST_LINE))
    if not report.index.samples and part is None:
        raise typer.Exit(1)


@app.command()
def merge(out: OutArgument) -> None:
    """Make one set of the parts that `wmt data pack --part` made; may be stopped and resumed."""
    from worldmodel_train.data.packing.parts import merge_parts
    from worldmodel_train.data.packing.summary import merge_lines

    with _one_line_errors(out):
        report = merge_parts(out)
    for line in merge_lines(report, out):
        typer.echo(printable(line, LONGEST_LINE))
    if not report.index.samples:
        raise typer.Exit(1)


@app.command()
def index(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of tar shards.")
    ],
    *,
    workers: WorkersOption = _cores(),  # noqa: B008 - the cores of this machine, once
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
        with _one_line_errors(folder):
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
    workers: WorkersOption = _cores(),  # noqa: B008 - the cores of this machine, once
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Give up a shard after so many seconds without progress.")
    ] = 60.0,
) -> None:
    """Verify shards against index.json: sizes, hashes, counts, json, and that videos open.

    Of episodes (KEY.npz) there is no index.json: each is read, and compared with the first good
    one. Ends with status 1 and the reasons when something is wrong.
    """
    from rich.console import Console

    from worldmodel_train.data.packing.check import check_shards
    from worldmodel_train.data.packing.probe import probe_all, probe_ends
    from worldmodel_train.data.packing.summary import summary_table
    from worldmodel_train.data.trajectories.check import check_episodes, holds_episodes
    from worldmodel_train.data.trajectories.summary import episodes_table, scale_lines

    probe = probe_all if decode else probe_ends
    with _one_line_errors(out):
        if not (out / "index.json").is_file() and holds_episodes(out):
            report = check_episodes(out, probe, workers=workers, timeout_s=timeout)
            table, lines = episodes_table(report, out), scale_lines(report)
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
    """Write a contact sheet: clips spread over the set, six frames of each."""
    from worldmodel_train.data.packing.contact_sheet import write_contact_sheet

    target = to or out / "contact_sheet.png"
    with _one_line_errors(out):
        write_contact_sheet(out, target, clips)
    typer.echo(f"wrote {printable(target)}")


def _encode_config(
    preset: str | None, options: dict[str, int | float | str | None]
) -> "EncodeConfig | None":
    """The preset with the options that are given in its place; None if there are none at all."""
    from pydantic import ValidationError

    from worldmodel_train.config.explain import explain
    from worldmodel_train.config.origins import Document, Value
    from worldmodel_train.data.packing.encode import PRESETS, EncodeConfig
    from worldmodel_train.data.packing.errors import PackError

    given: dict[str, Value] = {k: value for k, value in options.items() if value is not None}
    if preset is not None:
        if preset not in PRESETS:
            raise PackError(f"--preset {preset}: not a preset; use {', '.join(PRESETS)}")
        given = PRESETS[preset].model_dump() | given
    if not given:
        return None
    try:
        return EncodeConfig.model_validate(given)
    except ValidationError as error:
        key, problem = (
            explain(error, EncodeConfig, Document(values=given)).problems[0].split(": ", 1)
        )
        option = key.replace("_", "-")
        raise PackError(f"--{option} {given[key]}: {problem}") from None


def _stdin() -> TextIO:
    """Standard input, in which a name that is no UTF-8 does not end the run."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    return sys.stdin


def _bytes(text: str) -> int:
    """Bytes from `1GB`, `1.5 GB`, `500MB`, `64KB` or a plain number."""
    from worldmodel_train.data.packing.errors import PackError

    number = text.strip().upper().removesuffix("B").strip()
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    unit = units.get(number[-1:], 1)
    try:
        size = int(float(number.rstrip("KMGT")) * unit)
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise PackError(f"--shard-size {text}: not a size; write 1GB or 500MB")
    return size


@contextmanager
def _one_line_errors(out: Path) -> Iterator[None]:
    """What the user can put right ends as one line and status 1, Ctrl-C as status 130."""
    from worldmodel_train.data.packing.errors import PackError

    try:
        yield
    except PackError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"{out}: the disk is full; finished shards are intact. Free space and repeat")
        _fail(f"{error.filename or out}: {error.strerror or error}")
    except KeyboardInterrupt:
        typer.echo("stopped; the same command resumes", err=True)
        raise typer.Exit(130) from None


def _fail(message: str) -> None:
    typer.echo(f"error: {printable(message, LONGEST_LINE)}", err=True)
    raise typer.Exit(1)
