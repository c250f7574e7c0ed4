"""Which tokens are seen and which are predicted; each config is also the sampler it names."""

from typing import Annotated

from pydantic import Field

from worldmodel_train.masks.multiblock2d import Multiblock2D
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.masks.random_tokens import RandomTokens, RandomTubes
from worldmodel_train.masks.time_frequency import TimeFrequency

MaskConfig = Annotated[
    Multiblock2D | Multiblock3D | RandomTokens | RandomTubes | TimeFrequency,
    Field(discriminator="name"),
]

__all__ = [
    "MaskConfig",
    "Multiblock2D",
    "Multiblock3D",
    "RandomTokens",
    "RandomTubes",
    "TimeFrequency",
]
