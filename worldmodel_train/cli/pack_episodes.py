"""`wmt data pack --format`: recorded episodes into shards of episodes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from worldmodel_train.cli.shard_commands import LONGEST_LINE, Effort, refuse
from worldmodel_train.config.printable import printable

if TYPE_CHECKING:
    from worldmodel_train.data.packing.encode import EncodeConfig
    from worldmodel_train.data.packing.journal import PackArguments

_WITHOUT_FILMS = ("hdf5", "npz")

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="SRC holds recorded episodes, not videos: droid (raw 1.0.1), lerobot (v2, v3), hdf5 "
        "(robomimic, OGBench) or npz.",
    ),
]
CameraOption = Annotated[
    str | None,
    typer.Option(help="Of episodes: which camera, or which array of observations."),
]
StatesOption = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Of episodes: which arrays together are a state."),
]
EveryOption = Annotated[
    int, typer.Option(min=1, help="Of droid: keep every so many-th row; actions lead from it on.")
]
ResizeOption = Annotated[
    str | None,
    typer.Option(metavar="SIDE|HxW", help="Of episodes: cut and scale pictures to this size."),
]


@dataclass(frozen=True, kw_only=True)
class EpisodeOptions:
    """What is said of episodes on the command line."""

    format: str | None
    camera: str | None
    states: str | None
    every: int
    resize: str | None

    def given(self) -> Mapping[str, object]:
        """By option, those beside --format; None for what is not given."""
        every = self.every if self.every > 1 else None
        return {
            "--camera": self.camera,
            "--states": self.states,
            "--every": every,
            "--resize": self.resize,
        }

    def refuse_unused(self, of_films: Mapping[str, object]) -> None:
        """Raises PackError where an option of how films are encoded would change nothing."""
        if self.format in _WITHOUT_FILMS:
            refuse(of_films, f"re-encodes videos, and {self.format} has none; use --resize")
        if self.resize is not None:
            side = {"--short-side": of_films["--short-side"]}
            refuse(side, "another size than --resize; leave one of them out")

    def pack_arguments(
        self, *, shard_size: int, encode: "EncodeConfig | None", fps: float | None
    ) -> "PackArguments":
        """What they ask for; PackError where one is none."""
        from worldmodel_train.data.packing.episode_arguments import EpisodeArguments, EpisodeFormat
        from worldmodel_train.data.packing.errors import PackError
        from worldmodel_train.data.packing.journal import PackArguments

        known = get_args(EpisodeFormat)
        if self.format not in known:
            raise PackError(f"--format {self.format}: not a format; use {', '.join(known)}")
        names = None if self.states is None else [s.strip() for s in self.states.split(",")]
        episodes = {
            "format": self.format,
            "camera": self.camera,
            "states": names,
            "fps": fps,
            "every": self.every,
            "size": None if self.resize is None else _sides(self.resize),
        }
        return PackArguments(
            shard_size=shard_size,
            encode=encode and encode.model_copy(update={"fps": None}),
            episodes=EpisodeArguments.model_validate(episodes),
        )


def _sides(resize: str) -> tuple[int, int]:
    from worldmodel_train.data.packing.errors import PackError

    sides = resize.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise PackError(f"--resize {resize}: not a size; write 256 or 180x320 (height x width)")
    return int(sides[0]), int(sides[-1])


def pack_and_describe(source: Path, out: Path, arguments: "PackArguments", effort: Effort) -> None:
    """Pack, then print what `wmt data check` prints; ends with status 1 without an episode.

    Of a part only what was packed and rejected is printed.
    """
    from rich.console import Console

    from worldmodel_train.data.packing.progress import PackProgress
    from worldmodel_train.data.packing.summary import pack_lines
    from worldmodel_train.data.trajectories.pack import find_recordings, pack_episodes

    assert arguments.episodes is not None, "how episodes are read"
    recordings = find_recordings(source, arguments.episodes)
    folder, entries = effort.part_of(recordings.entries, out)
    report = pack_episodes(
        replace(recordings, entries=entries),
        folder,
        arguments,
        workers=effort.workers,
        timeout_s=effort.timeout_s,
        progress=PackProgress(Console(stderr=True), noun="episodes"),
    )
    for line in pack_lines(report, folder):
        typer.echo(printable(line, LONGEST_LINE))
    if effort.part is not None:
        return
    if not report.index.samples:
        raise typer.Exit(1)
    _describe(out, effort)


def _describe(out: Path, effort: Effort) -> None:
    """Print what `wmt data check` prints."""
    from rich.console import Console

    from worldmodel_train.data.packing.probe import probe_ends
    from worldmodel_train.data.trajectories.check import check_episodes
    from worldmodel_train.data.trajectories.summary import episodes_table, scale_lines

    checked = check_episodes(out, probe_ends, workers=effort.workers, timeout_s=effort.timeout_s)
    Console().print(episodes_table(checked, out))
    for line in scale_lines(checked):
        typer.echo(line)
    for problem in checked.problems:
        typer.echo(f"wrong: {printable(problem)}", err=True)
