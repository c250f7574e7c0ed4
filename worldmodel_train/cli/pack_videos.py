"""`wmt data pack` of videos, pictures and recordings of sound."""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from worldmodel_train.cli.shard_commands import LONGEST_LINE, Effort, refuse
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


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """What is said of videos, pictures or recordings on the command line."""

    root: Path | None
    published: str | None
    window: str | None
    images: bool
    audio: bool
    preset: str | None
    short_side: int | None
    gop: int | None
    codec: str | None
    fps: float | None
    crf: int | None

    def of_videos(self) -> Mapping[str, object]:
        """By option, those that episodes have no use for; None for what is not given."""
        kinds = {"--images": self.images or None, "--audio": self.audio or None}
        return {**self._of_lists(), "--root": self.root, "--preset": self.preset, **kinds}

    def of_encoding(self) -> Mapping[str, object]:
        """By option, how films are encoded, but for their rate."""
        return {
            "--short-side": self.short_side,
            "--gop": self.gop,
            "--codec": self.codec,
            "--crf": self.crf,
        }

    def encode(self) -> "EncodeConfig | None":
        """The preset with the options that are given in its place; None without any of them.

        Raises:
            PackError: One is none.
        """
        names = ("short_side", "gop", "codec", "fps", "crf")
        return _encode_config(self.preset, {name: getattr(self, name) for name in names})

    def pack_arguments(self, *, shard_size: int) -> "PackArguments":
        """What they ask for; PackError where one is none, or goes with videos only."""
        from worldmodel_train.data.packing.journal import PackArguments

        encode = self.encode()
        if self.audio:
            others = {**self._of_lists(), "--images": self.images or None}
            refuse({**others, "any re-encoding": encode}, "goes with videos, not with --audio")
        holds = "recordings" if self.audio else "videos"
        return PackArguments(shard_size=shard_size, encode=encode, samples=holds)

    def listed(self, source: str) -> "Listed":
        """What SRC names, each action's window in its place, and the classes of it."""
        found = _listed(source, self.root, self.published, suffixes=self.suffixes())
        if self.window is None:
            return found
        return replace(found, entries=_windows(found.entries, self.window))

    def suffixes(self) -> frozenset[str]:
        """Of the files that are wanted of a folder."""
        from worldmodel_train.data.audio_files import AUDIO_SUFFIXES
        from worldmodel_train.data.video_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

        return AUDIO_SUFFIXES if self.audio else IMAGE_SUFFIXES if self.images else VIDEO_SUFFIXES

    def _of_lists(self) -> dict[str, object]:
        return {"--list": self.published, "--window": self.window}


def pack_videos(
    source: str, out: Path, options: VideoOptions, effort: Effort, *, shard_size: int
) -> None:
    """Pack, then print what was packed and rejected; ends with status 1 without a sample.

    Of a part nothing is asked.
    """
    from rich.console import Console

    from worldmodel_train.data.packing.classes_file import require_room, write_classes
    from worldmodel_train.data.packing.progress import PackProgress
    from worldmodel_train.data.packing.summary import pack_lines

    arguments = options.pack_arguments(shard_size=shard_size)
    listed = options.listed(source)
    require_room(out, listed.classes)
    folder, entries = effort.part_of(listed.entries, out)
    report = _packer(arguments)(
        entries,
        folder,
        arguments,
        workers=effort.workers,
        timeout_s=effort.timeout_s,
        progress=PackProgress(Console(stderr=True), noun=arguments.samples),
    )
    write_classes(out, listed.classes)
    for line in pack_lines(report, folder):
        typer.echo(printable(line, LONGEST_LINE))
    if not report.index.samples and effort.part is None:
        raise typer.Exit(1)


def _packer(arguments: "PackArguments") -> "Callable[..., PackReport]":
    """What packs samples of this kind."""
    from worldmodel_train.data.audio.pack import pack_recordings
    from worldmodel_train.data.packing.pack import pack as pack_videos

    return pack_recordings if arguments.samples == "recordings" else pack_videos


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
