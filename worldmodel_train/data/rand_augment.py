"""RandAugment on clips: the same changes of colour and shape in all frames (arXiv 1909.13719).

The operations, how far a magnitude takes each, and the grey beside a picture that has moved are
those of timm's `rand-...-inc1`, in which all changes grow with the magnitude.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps

from worldmodel_train.data.augment_config import RandAugmentConfig

GREY = (128, 128, 128)
MOST = 10.0
"""The largest magnitude."""

Operation = Callable[[Image.Image], Image.Image]
"""A change of one picture, with nothing left to draw."""

Enhancer = type[
    ImageEnhance.Color | ImageEnhance.Contrast | ImageEnhance.Brightness | ImageEnhance.Sharpness
]


def draw_operations(config: RandAugmentConfig, rng: np.random.Generator) -> tuple[Operation, ...]:
    """What is done to a clip, in this order; nothing where all coins fell so."""
    drawn = []
    for _ in range(config.operations):
        made = OPERATIONS[NAMES[rng.integers(len(NAMES))]]
        # all is drawn each time: no operation's numbers hang on another's coin
        done, upwards = rng.random(2) < 0.5
        magnitude = float(np.clip(rng.normal(config.magnitude, config.magnitude_std), 0, MOST))
        if done:
            drawn.append(made(magnitude / MOST, 1 if upwards else -1))
    return tuple(drawn)


def change(frames: UInt8[np.ndarray, "t h w 3"], operations: tuple[Operation, ...]) -> None:
    """Does the operations to each frame, in place."""
    if not operations:
        return
    for frame in frames:
        picture = Image.fromarray(frame)
        for operation in operations:
            picture = operation(picture)
        frame[:] = np.asarray(picture)


def _plain(operation: Operation) -> Callable[[float, int], Operation]:
    """An operation that has no magnitude."""
    return lambda share, sign: operation


def _posterize(share: float, sign: int) -> Operation:
    del sign
    bits = 4 - int(4 * share)
    # no bit left is black, which Pillow does not take as a number of bits
    return _black if bits == 0 else partial(ImageOps.posterize, bits=bits)


def _black(picture: Image.Image) -> Image.Image:
    return Image.new(picture.mode, picture.size)


def _solarize(share: float, sign: int) -> Operation:
    del sign
    return partial(ImageOps.solarize, threshold=256 - int(256 * share))


def _solarize_add(share: float, sign: int) -> Operation:
    """The darker half of the values become brighter."""
    del sign
    added = int(110 * share)
    table = [min(255, value + added) if value < 128 else value for value in range(256)]
    return lambda picture: picture.point(table * 3)


def _enhance(kind: Enhancer) -> Callable[[float, int], Operation]:
    """From 0.1 to 1.9 times as much of what `kind` says, 1 being no change."""

    def made(share: float, sign: int) -> Operation:
        return lambda picture: kind(picture).enhance(1 + sign * 0.9 * share)

    return made


def _rotate(share: float, sign: int) -> Operation:
    """By up to 30 degrees."""
    return lambda picture: picture.rotate(
        sign * 30 * share, resample=Image.Resampling.BICUBIC, fillcolor=GREY
    )


def _sheared(along: str) -> Callable[[float, int], Operation]:
    """By up to 0.3 pixels a pixel."""

    def made(share: float, sign: int) -> Operation:
        slope = sign * 0.3 * share
        right, down = (slope, 0.0) if along == "x" else (0.0, slope)
        return _affine((1.0, right, 0.0, down, 1.0, 0.0))

    return made


def _moved(along: str) -> Callable[[float, int], Operation]:
    """By up to 0.45 of the picture."""

    def made(share: float, sign: int) -> Operation:
        def move(picture: Image.Image) -> Image.Image:
            way = sign * 0.45 * share
            right, down = (way, 0.0) if along == "x" else (0.0, way)
            width, height = picture.size
            return _affine((1.0, 0.0, right * width, 0.0, 1.0, down * height))(picture)

        return move

    return made


def _affine(matrix: tuple[float, ...]) -> Operation:
    """Each pixel from where the matrix says, bicubic; grey where nothing is."""
    return lambda picture: picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BICUBIC,
        fillcolor=GREY,
    )


OPERATIONS: dict[str, Callable[[float, int], Operation]] = {
    "auto_contrast": _plain(ImageOps.autocontrast),
    "equalize": _plain(ImageOps.equalize),
    "invert": _plain(ImageOps.invert),
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "colour": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear_x": _sheared("x"),
    "shear_y": _sheared("y"),
    "translate_x": _moved("x"),
    "translate_y": _moved("y"),
}
"""Each made of a share of the largest magnitude, and of a sign where it has two ways to go."""

NAMES = tuple(OPERATIONS)
