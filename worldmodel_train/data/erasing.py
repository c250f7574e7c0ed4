"""Random erasing on clips: one box for all frames, full of noise (arXiv 1708.04896)."""

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from jaxtyping import UInt8

from worldmodel_train.data.augment_config import ErasingConfig
from worldmodel_train.facts import FrameSize

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of each channel of ImageNet, by which encoders normalise: the noise is normal to them."""
_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class ErasedBox:
    """Where a clip is erased, in pixels."""

    top: int
    left: int
    height: int
    width: int


def draw_box(config: ErasingConfig, size: FrameSize, rng: np.random.Generator) -> ErasedBox | None:
    """A box with area uniform, aspect log-uniform; None where a clip stays, or no shape fits."""
    if rng.random() >= config.probability:
        return None
    low, high = config.aspect
    for _ in range(_TRIES):
        area = rng.uniform(*config.area) * size.height * size.width
        aspect = exp(rng.uniform(log(low), log(high))) * size.width / size.height
        height, width = round(sqrt(area / aspect)), round(sqrt(area * aspect))
        if 0 < height < size.height and 0 < width < size.width:
            return ErasedBox(
                top=int(rng.integers(size.height - height + 1)),
                left=int(rng.integers(size.width - width + 1)),
                height=height,
                width=width,
            )
    return None


def erase(
    frames: UInt8[np.ndarray, "t h w 3"], box: ErasedBox | None, rng: np.random.Generator
) -> None:
    """Fills the box with noise of its own for each frame, in place; normal but for its clipping."""
    if box is None:
        return
    erased = frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    noise = rng.standard_normal(erased.shape, dtype=np.float32)
    values = 255 * (noise * STD + MEAN)
    erased[:] = values.round().clip(0, 255).astype(np.uint8)
