"""`latents.json`: what a folder of latents is of, and how many clips lie in each shard."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from worldmodel_train.config import StrictConfig
from worldmodel_train.config.sealed_json import SealError, sealed, unsealed

INDEX = "latents.json"

Precision = Literal["bf16", "fp16", "fp32"]


class MadeOf(StrictConfig):
    """What decides every number in the folder."""

    recipe: str
    """Name of the run's recipe."""
    part: str
    """Which module of its objective encoded."""
    encoder: str
    """SHA-256 of the encoder's state."""
    layer: int | None
    """Blocks after which the stream was taken, which no norm has seen; null for the output."""
    source: str
    """Name of the source of clips in the recipe."""
    shards: tuple[str, ...]
    """The source's shards."""
    clip: tuple[int, int, int]
    """Frames, height and width of a clip."""
    fps: float
    """Frames per second of video time."""
    views: int
    """Clips of each video, their starts spread evenly over it; each is a centre crop."""
    most_clips: int | None
    """Clips after which writing ends; null takes all videos."""
    grid: tuple[int, int, int]
    """Tokens along time, height and width."""
    width: int
    """Channels of a token."""
    precision: Precision
    """How a number is kept."""
    classes: tuple[str, ...] | None
    """Names of the classes whose numbers are the labels; null for no labels."""

    @property
    def num_tokens(self) -> int:
        """Tokens of a clip."""
        frames, height, width = self.grid
        return frames * height * width

    def differences(self, other: "MadeOf") -> list[str]:
        """What is not alike, `key: here, not there`."""
        pairs = [(name, value, getattr(other, name)) for name, value in self]
        return [f"{name}: {mine}, not {its}" for name, mine, its in pairs if mine != its]


class Index(StrictConfig):
    """What is written to `latents.json`."""

    version: Literal[1] = 1
    """Of the format."""
    made_of: MadeOf
    """What the latents are of."""
    shards: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Clips of each shard; null while they are still being written."""
    skipped: int = 0
    """Videos that could not be used."""


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"{number:05}.safetensors"


def index_bytes(index: Index) -> bytes:
    """The file's content."""
    return sealed(index.model_dump_json(indent=2)).encode()


def read_index(folder: Path) -> Index:
    """What `latents.json` says.

    Raises:
        ValueError: There is none, or it is damaged.
    """
    path = folder / INDEX
    try:
        content = unsealed(path.read_bytes())
        return Index.model_validate_json(content or b"")
    except FileNotFoundError:
        message = f"{path} is missing; write it with `wmt data latents RUN {folder}`"
        raise ValueError(message) from None
    except (SealError, ValidationError) as error:
        reason = str(error).replace("\n", " ")
        raise ValueError(f"{path} is damaged ({reason}); write the folder anew") from error
