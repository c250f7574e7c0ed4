"""Which part of a picture a clip shows, chosen before the picture is decoded."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

_LARGE = 2.0  # boxes this many times the clip's size are scaled down by the decoder


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A crop drawn before the picture's size is known.

    The first of `shapes` (share of the area, width / height) that fits the picture is taken, `x`
    and `y` in [0, 1) place it: 0 left or top. If none fits, the largest centred box whose shape is
    within `aspect`: the whole picture, or the picture cut on one axis.
    """

    shapes: tuple[tuple[float, float], ...] = ()
    x: float = 0.5
    y: float = 0.5
    aspect: tuple[float, float] = (1.0, 1.0)
    """Least and most width / height of the box that is taken if no shape fits."""
    flip: bool = False

    def box(self, width: int, height: int) -> Box:
        """The crop in a picture of this size."""
        for area, aspect in self.shapes:
            w = round((area * width * height * aspect) ** 0.5)
            h = round((area * width * height / aspect) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                left, top = _place(self.x, width - w), _place(self.y, height - h)
                return Box(left=left, top=top, width=w, height=h)
        least, most = self.aspect
        w = min(width, max(1, round(height * most)))
        h = min(height, max(1, round(width / least)))
        return Box(left=(width - w) // 2, top=(height - h) // 2, width=w, height=h)


def _place(share: float, room: int) -> int:
    """One of the room + 1 places, all as likely."""
    return min(int(share * (room + 1)), room)


CENTER_CROP = Crop()


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The size at which to decode a picture, and the box to cut from it there."""

    width: int
    height: int
    box: Box

    def cut(self, picture: UInt8[np.ndarray, "h w c"], size: int) -> UInt8[np.ndarray, "s s c"]:
        """The box of `picture`, resized to `size` x `size`."""
        box = self.box
        part = picture[box.top : box.top + box.height, box.left : box.left + box.width]
        if part.shape[:2] == (size, size):
            return part
        shrinks = box.width * box.height > size * size
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(part, (size, size), interpolation=interpolation)


def frame_crop(crop: Crop, *, width: int, height: int, size: int) -> Framing:
    """How to decode a `width` x `height` picture for a crop of `size` x `size`.

    A box at least twice as large as the clip is scaled while decoding, so that no full-size RGB
    picture is made; below that, scaling the whole picture costs more than it saves.
    """
    box = crop.box(width, height)
    if min(box.width, box.height) < _LARGE * size:
        return Framing(width=width, height=height, box=box)
    scaled_width = max(size, round(width * size / box.width))
    scaled_height = max(size, round(height * size / box.height))
    scaled = Box(
        left=min(round(box.left * size / box.width), scaled_width - size),
        top=min(round(box.top * size / box.height), scaled_height - size),
        width=size,
        height=size,
    )
    return Framing(width=scaled_width, height=scaled_height, box=scaled)
