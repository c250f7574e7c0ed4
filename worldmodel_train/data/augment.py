"""The random crop and flip of a clip."""

from math import exp, log

import numpy as np

from worldmodel_train.data.config import AugmentConfig
from worldmodel_train.data.decoding.crop import Crop

_TRIES = 10


def draw_crop(augment: AugmentConfig, rng: np.random.Generator) -> Crop:
    """A random resized crop for one clip: area uniform, aspect log-uniform (Szegedy et al., 2015).

    Ten shapes are drawn at once, because which of them fits is only known beside the video.
    """
    areas = rng.uniform(*augment.scale, size=_TRIES)
    aspects = rng.uniform(log(augment.aspect[0]), log(augment.aspect[1]), size=_TRIES)
    x, y, flip = rng.random(3)
    return Crop(
        shapes=tuple((float(a), exp(r)) for a, r in zip(areas, aspects, strict=True)),
        x=float(x),
        y=float(y),
        stretch=augment.aspect,
        flip=bool(flip < augment.flip),
    )
