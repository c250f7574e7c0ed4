"""What a recipe says about augmentation: how training clips are cut and changed."""

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.picture_size import PictureSize, frame_size
from worldmodel_train.facts import FrameSize


class RandAugmentConfig(StrictConfig):
    """RandAugment (arXiv 1909.13719): random changes of colour and shape, one after the other.

    The defaults are `rand-m7-n4-mstd0.5-inc1` of timm, which V-JEPA 2's evaluations use.
    """

    operations: PositiveInt = 4
    """Drawn for a clip, the same one perhaps twice; each is done or left out by a coin."""
    magnitude: float = Field(default=7.0, ge=0, le=10)
    """How much they change, from 0 to 10."""
    magnitude_std: NonNegativeFloat = 0.5
    """Spread of the magnitude, which is drawn anew for each."""


class ErasingConfig(StrictConfig):
    """Random erasing (arXiv 1708.04896): a box of a clip becomes noise, in all of its frames."""

    probability: float = Field(default=0.25, ge=0, le=1)
    """Of a clip to lose a box."""
    area: tuple[float, float] = (0.02, 1 / 3)
    """Least and most share of the picture that the box takes."""
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Least and most width / height of the box, relative to the clip's own."""

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "ErasingConfig":
        _require_share("area", self.area)
        _require_above_zero("aspect", self.aspect)
        return self


class AugmentConfig(StrictConfig):
    """Random resized crop and flip, and what is done to the pictures then, drawn once per clip."""

    size: PictureSize
    """Height and width of a clip in pixels: one number for both, or `[height, width]`."""
    scale: tuple[float, float] = (0.3, 1.0)
    """Least and most share of the picture's area that a crop keeps."""
    aspect: tuple[float, float] = (0.75, 1.35)
    """Least and most width / height of a crop, relative to the clip's own: so much may a picture be
    stretched."""
    flip: float = Field(ge=0, le=1, default=0.5)
    """Probability that a clip is mirrored left to right."""
    motion_shift: bool = False
    """Whether the crop moves and changes its size over a clip, at an even pace from one random crop
    to another."""
    rand_augment: RandAugmentConfig | None = None
    """Changes of colour and shape after the crop; null makes none."""
    erasing: ErasingConfig | None = None
    """A box that becomes noise, last of all; null erases nothing."""

    @property
    def frame_size(self) -> FrameSize:
        """Height and width of a clip, however they are spelled."""
        return frame_size(self.size)

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "AugmentConfig":
        _require_share("scale", self.scale)
        _require_above_zero("aspect", self.aspect)
        return self


def _require_share(key: str, ends: tuple[float, float]) -> None:
    if not 0 < ends[0] <= ends[1] <= 1:
        raise ValueError(f"{key}={list(ends)} must be [least, most] within (0, 1]")


def _require_above_zero(key: str, ends: tuple[float, float]) -> None:
    if not 0 < ends[0] <= ends[1]:
        raise ValueError(f"{key}={list(ends)} must be [least, most], above 0")
