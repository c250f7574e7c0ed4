"""What a recipe says of its sources: their shards, and the clips cut from them."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig

STREAM_PREFIXES = ("pipe:", "http://", "https://", "s3://", "gs://")


class ClipConfig(StrictConfig):
    """A clip: `frames` pictures, `fps` of them per second, whatever the video's own rate."""

    frames: int = Field(ge=1)
    """Pictures per clip; 1 makes the source a set of images."""
    fps: float = Field(gt=0, default=4.0)
    """Pictures per second of video time; frames are chosen by time stamp."""
    frame_step: int | None = Field(ge=1, default=None)
    """Of a source with `protocol: vjepa2`: each picture is so many frames behind the one before,
    whatever the video's rate. Null: its rate, rounded up, over `fps`, rounded down."""

    @property
    def offsets(self) -> tuple[float, ...]:
        """Seconds from the clip's start to each of its pictures."""
        return tuple(i / self.fps for i in range(self.frames))


class ShardsConfig(StrictConfig):
    """One set of shards."""

    name: str = "videos"
    """Name in logs and errors; each source of a mixture has its own."""
    shards: str | tuple[str, ...] = Field(min_length=1)
    """Tar shards: a glob or brace range (`$DATA/k710/{000..127}.tar`), `assets:`, `pipe:`, URLs."""
    weight: float = Field(gt=0, default=1.0)
    """Share of the samples drawn from this source, relative to the other sources' weights."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """The shard strings, also when there is only one."""
        return (self.shards,) if isinstance(self.shards, str) else self.shards

    @property
    def streams(self) -> bool:
        """True where shards can only be read from front to back (pipes and URLs)."""
        return self.patterns[0].startswith(STREAM_PREFIXES)

    @model_validator(mode="after")
    def _one_way_of_reading(self) -> "ShardsConfig":
        streaming = [p for p in self.patterns if p.startswith(STREAM_PREFIXES)]
        if streaming and len(streaming) != len(self.patterns):
            raise ValueError(
                f"shards of source '{self.name}' mix local files and streams ({streaming[0]}); "
                "make two sources of them"
            )
        return self


class SourceConfig(ShardsConfig):
    """One set of shards, and the clips cut from it."""

    clip: ClipConfig
    """Length and rate of this source's clips."""
    protocol: Literal["ours", "vjepa2"] = "ours"
    """`vjepa2` chooses frames and scales pictures as V-JEPA 2's published evaluation does, whose
    numbers can then be met: frames are counted off, and pictures scaled without antialiasing."""

    @model_validator(mode="after")
    def _frames_are_counted_by_protocol(self) -> "SourceConfig":
        if self.clip.frame_step is not None and self.protocol == "ours":
            raise ValueError(
                f"clip.frame_step={self.clip.frame_step} of source '{self.name}' counts frames, "
                "which only protocol=vjepa2 does; name that, or a rate, clip.fps"
            )
        return self


def require_names_differ(sources: Sequence[ShardsConfig]) -> None:
    """Raises ValueError where two sources have one name."""
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"sources: two are named '{twice[0]}'; give each its own name")
