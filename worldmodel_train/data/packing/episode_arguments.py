"""What is wanted of recorded episodes: part of what a packing run was begun with."""

from typing import Annotated, Literal

from pydantic import Field

from worldmodel_train.config import StrictConfig

EpisodeFormat = Literal["droid", "lerobot", "hdf5", "npz"]


class EpisodeArguments(StrictConfig):
    """Which format, and what of each episode."""

    format: EpisodeFormat
    camera: str | None = None
    """A camera, or several, `left,wrist`; or the array of what was observed. Null takes the usual
    one."""
    states: tuple[str, ...] | None = None
    """Arrays that together are a state; null takes the usual ones."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Rows of an episode per second; null takes what the format says."""
    every: Annotated[int, Field(ge=1)] = 1
    """Every so many-th row is kept."""
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Height and width to which pictures are cut and scaled; null leaves them."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that are named."""
        return tuple(name.strip() for name in (self.camera or "").split(",") if name.strip())
