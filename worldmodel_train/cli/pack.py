"""`wmt data pack` and `wmt data merge`: a set of shards, at once or in parts."""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from worldmodel_train.cli.pack_episodes import (
    CameraOption,
    EpisodeOptions,
    EveryOption,
    FormatOption,
    ResizeOption,
    StatesOption,
    pack_and_describe,
    refuse,
)
from worldmodel_train.cli.shard_commands import (
    LONGEST_LINE,
    OutArgument,
    WorkersOption,
    cores,
    one_line_errors,
)
from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.data.packing.chapters import PackReport
    from worldmodel_train.data.packing.encode import EncodeConfig
    from worldmodel_train.data.packing.entry import Entry
    from worldmodel_train.data.packing.journal import PackArguments
    from worldmodel_train.data.packing.listed import Listed

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
SideOption = Annotated[
    int | None, typer.Option(min=16, help="Re-encode to this shorter side, in pixels.")
]
CodecOption = Annotated[str | None, typer.Option(help="Re-encode: h264 (the default) or hevc.")]
ImagesOption = Annotated[
    bool, typer.Option("--images", help="Of a folder, pack the pictures and not the videos.")
]
AudioOption = Annotated[
    bool,
    typer.Option("--audio", help="SRC is of recordings of sound, which are packed as they are."),
]
ListOption = Annotated[
    str | None,
    typer.Option(
        "--list",
        help="SRC is a list of this set as it was published: diving48, ek100, imagenet, kinetics, "
        "ssv2, or vjepa (a path and a number a line).",
    ),
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar="BEGIN:END",
        help="Of each action, pack these seconds from its start: -5:-1 end a second before it.",
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
    from rich.console import Console

    from worldmodel_train.data.packing.classes_file import require_room, write_classes
    from worldmodel_train.data.packing.journal import PackArguments
    from worldmodel_train.data.packing.progress import PackProgress
    from worldmodel_train.data.packing.summary import pack_lines

    with one_line_errors(out):
        encode = _encode_config(
            preset, {"short_side": short_side, "gop": gop, "codec": codec, "fps": fps, "crf": crf}
        )
        recorded = EpisodeOptions(
            format=episodes, camera=camera, states=states, every=every, resize=resize
        )
        if episodes is not None:
            of_videos = {"--list": published, "--window": window, "--root": root}
            of_videos |= {"--preset": preset, "--images": images or None, "--audio": audio or None}
            refuse(of_videos, f"goes with videos, not with --format {episodes}")
            of_films = {"--short-side": short_side, "--gop": gop, "--codec": codec, "--crf": crf}
            recorded.refuse_unused(of_films)
            size = _bytes(shard_size)
            arguments = recorded.pack_arguments(shard_size=size, encode=encode, fps=fps)
            pack_and_describe(
                Path(source), out, arguments, part=part, workers=workers, timeout_s=timeout
            )
            return
        refuse(recorded.given(), "goes with episodes; name their format by --format")
        if audio:
            others = {"--list": published, "--window": window, "--images": images or None}
            refuse(others | {"any re-encoding": encode}, "goes with videos, not with --audio")
        holds = "recordings" if audio else "videos"
        arguments = PackArguments(shard_size=_bytes(shard_size), encode=encode, samples=holds)
        listed = _listed(source, root, published, suffixes=_suffixes(images=images, audio=audio))
        entries = listed.entries if window is None else _windows(listed.entries, window)
        require_room(out, listed.classes)
        folder, entries = _part_of(part, entries, out)
        report = _packer(arguments)(
            entries,
            folder,
            arguments,
            workers=workers,
            timeout_s=timeout,
            progress=PackProgress(Console(stderr=True), noun=holds),
        )
        write_classes(out, listed.classes)
    for line in pack_lines(report, folder):
        typer.echo(printable(line, LONGEST_LINE))
    if not report.index.samples and part is None:
        raise typer.Exit(1)


def _packer(arguments: "PackArguments") -> "Callable[..., PackReport]":
    """What packs samples of this kind."""
    from worldmodel_train.data.audio.pack import pack_recordings
    from worldmodel_train.data.packing.pack import pack as pack_videos

    return pack_recordings if arguments.samples == "recordings" else pack_videos


def _part_of(
    part: str | None, entries: "Sequence[Entry]", out: Path
) -> "tuple[Path, Sequence[Entry]]":
    """The folder to pack into, and the entries that belong there: all, or those of one part."""
    from worldmodel_train.data.packing.parts import Part, begin_part

    return (out, entries) if part is None else begin_part(Part.parse(part), entries, out)


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


def _suffixes(*, images: bool, audio: bool) -> frozenset[str]:
    """Of the files that are wanted of a folder."""
    from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
    from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    return AUDIO_SUFFIXES if audio else IMAGE_SUFFIXES if images else VIDEO_SUFFIXES


def _listed(
    source: str, root: Path | None, published: str | None, *, suffixes: frozenset[str]
) -> "Listed":
    """What SRC names, and the classes of it."""
    from worldmodel_train.data.packing.classes_file import labels_of
    from worldmodel_train.data.packing.entries import read_entries
    from worldmodel_train.data.packing.errors import PackError
    from worldmodel_train.data.packing.listed import Listed
    from worldmodel_train.data.packing.read_list import read_list
    from worldmodel_train.data.video_files import VIDEO_SUFFIXES

    if published is None:
        entries = read_entries(source, root, _stdin(), suffixes=suffixes)
        return Listed(entries=entries, classes=labels_of(entries))
    if suffixes != VIDEO_SUFFIXES:
        raise PackError("--images: goes with folders; leave it out, --list knows what it lists")
    return read_list(published, source, root)


def _windows(entries: "list[Entry]", window: str) -> "list[Entry]":
    """The entries with that window in the place of each action."""
    from worldmodel_train.data.packing.listed import Window

    parsed = Window.parse(window)
    return [parsed.around(entry) for entry in entries]


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
