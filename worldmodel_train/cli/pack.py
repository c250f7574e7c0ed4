"""`wmt data pack` and `wmt data merge`: a set of shards, at once or in parts."""

from pathlib import Path
from typing import Annotated

import typer

from worldmodel_train.cli.pack_episodes import (
    CameraOption,
    EpisodeOptions,
    EveryOption,
    FormatOption,
    ResizeOption,
    StatesOption,
    pack_and_describe,
)
from worldmodel_train.cli.pack_videos import (
    AudioOption,
    CodecOption,
    ImagesOption,
    KeyframesOption,
    ListOption,
    PresetOption,
    QualityOption,
    RateOption,
    RootOption,
    SideOption,
    VideoOptions,
    WindowOption,
    pack_videos,
)
from worldmodel_train.cli.shard_commands import (
    LONGEST_LINE,
    Effort,
    OutArgument,
    WorkersOption,
    cores,
    one_line_errors,
    refuse,
)
from worldmodel_train.config.printable import printable

PatienceOption = Annotated[
    float,
    typer.Option(
        min=1.0, help="Give up a video after so many seconds without progress, or 240 times in all."
    ),
]
PartOption = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only part I of N; then wmt data merge.")
]


def pack(  # noqa: PLR0913 - one parameter for each option of the command line
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder, a .csv or .jsonl list, or - for stdin.")
    ],
    out: OutArgument,
    *,
    root: RootOption = None,
    preset: PresetOption = None,
    shard_size: Annotated[str, typer.Option(help="Bytes a shard may have: 1GB, 500MB ...")] = "1GB",
    short_side: SideOption = None,
    gop: KeyframesOption = None,
    codec: CodecOption = None,
    fps: RateOption = None,
    crf: QualityOption = None,
    workers: WorkersOption = cores(),  # noqa: B008 - the cores of this machine, once
    timeout: PatienceOption = 60.0,
    part: PartOption = None,
    published: ListOption = None,
    window: WindowOption = None,
    images: ImagesOption = False,
    audio: AudioOption = False,
    episodes: FormatOption = None,
    camera: CameraOption = None,
    states: StatesOption = None,
    every: EveryOption = 1,
    resize: ResizeOption = None,
) -> None:
    """Pack videos into tar shards; the same command again resumes where it was stopped.

    A list has the columns path, label, caption, start, end (seconds or hh:mm:ss). Of a folder,
    the name of a video's subfolder is its label. All labels go to OUT/classes.txt. Any of --preset,
    --short-side, --gop, --codec, --fps, --crf re-encodes. A picture is a video of one frame. With
    --audio, SRC has recordings of sound (wav, flac, ogg, opus, mp3) in the place of videos. Bad
    videos, duplicates, folders that cannot be read and links that lead nowhere or to a folder go to
    OUT/rejects.jsonl; hidden files are no part of the set.

    With --format, SRC is a folder of recorded episodes: what was seen, done and measured. Their
    videos are always re-encoded, and --fps is the rate at which they were recorded.
    """
    with one_line_errors(out):
        videos = VideoOptions(
            root=root, published=published, window=window, images=images, audio=audio,
            preset=preset, short_side=short_side, gop=gop, codec=codec, fps=fps, crf=crf,
        )  # fmt: skip
        recorded = EpisodeOptions(
            format=episodes, camera=camera, states=states, every=every, resize=resize
        )
        effort = Effort(part=part, workers=workers, timeout_s=timeout)
        size = _bytes(shard_size)
        if episodes is None:
            refuse(recorded.given(), "goes with episodes; name their format by --format")
            pack_videos(source, out, videos, effort, shard_size=size)
        else:
            refuse(videos.of_videos(), f"goes with videos, not with --format {episodes}")
            recorded.refuse_unused(videos.of_encoding())
            arguments = recorded.pack_arguments(shard_size=size, encode=videos.encode(), fps=fps)
            pack_and_describe(Path(source), out, arguments, effort)


def merge(out: OutArgument) -> None:
    """Make one set of the parts that `wmt data pack --part` made; may be stopped and resumed."""
    from worldmodel_train.data.packing.parts import merge_parts
    from worldmodel_train.data.packing.summary import merge_lines

    with one_line_errors(out):
        report = merge_parts(out)
    for line in merge_lines(report, out):
        typer.echo(printable(line, LONGEST_LINE))
    if not report.index.samples:
        raise typer.Exit(1)


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
