"""The random crop and flip of a clip, and what is done to its pictures then."""

from math import exp, log

import numpy as np
from jaxtyping import UInt8

from worldmodel_train.data.augment_config import AugmentConfig
from worldmodel_train.data.decoding.crop import Crop, MovingCrop, Resampling
from worldmodel_train.data.erasing import draw_box, erase
from worldmodel_train.data.rand_augment import change, draw_operations

_TRIES = 10


def draw_crop(
    augment: AugmentConfig, rng: np.random.Generator, resampling: Resampling = "antialiased"
) -> Crop | MovingCrop:
    """A random resized crop for one clip: area uniform, aspect log-uniform (Szegedy et al., 2015).

    Under `motion_shift` a second one is drawn just so, to which the first moves over the clip.
    """
    first = _draw_one(augment, rng, resampling)
    if not augment.motion_shift:
        return first
    return MovingCrop(first=first, last=_draw_one(augment, rng, resampling))


def _draw_one(augment: AugmentConfig, rng: np.random.Generator, resampling: Resampling) -> Crop:
    """Ten shapes are drawn at once, because which of them fits is only known beside the video."""
    areas = rng.uniform(*augment.scale, size=_TRIES)
    aspects = rng.uniform(log(augment.aspect[0]), log(augment.aspect[1]), size=_TRIES)
    x, y, flip = rng.random(3)
    return Crop(
        shapes=tuple((float(a), exp(r)) for a, r in zip(areas, aspects, strict=True)),
        x=float(x),
        y=float(y),
        stretch=augment.aspect,
        flip=bool(flip < augment.flip),
        resampling=resampling,
    )


def change_pictures(
    augment: AugmentConfig, frames: UInt8[np.ndarray, "t h w 3"], rng: np.random.Generator
) -> None:
    """Changes a clip that has been cut, in place: RandAugment, then erasing."""
    if augment.rand_augment is not None:
        change(frames, draw_operations(augment.rand_augment, rng))
    if augment.erasing is not None:
        erase(frames, draw_box(augment.erasing, augment.frame_size, rng), rng)
