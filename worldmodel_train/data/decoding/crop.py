"""Which part of a picture a clip shows, chosen before the picture is decoded."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from worldmodel_train.facts import FrameSize

Resampling = Literal["antialiased", "bilinear"]
"""How a box is made smaller: `bilinear` looks at four pixels, however many a new one covers."""

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

    The first of `shapes` (share of the area, stretch) that fits the picture is taken, `x` and `y`
    in [0, 1) place it: 0 left or top. If none fits, the largest box whose stretch is within
    `stretch`: the whole picture, or the picture cut on one axis, in its middle or at `place`. A box
    that is stretched by 1 has the clip's width / height, one by 2 twice that.
    """

    shapes: tuple[tuple[float, float], ...] = ()
    x: float = 0.5
    y: float = 0.5
    stretch: tuple[float, float] = (1.0, 1.0)
    """Least and most of the box that is taken if no shape fits."""
    place: float = 0.5
    """Where that box lies on the axis that is cut: 0 left or top, 1 right or bottom."""
    flip: bool = False
    resampling: Resampling = "antialiased"

    def box(self, width: int, height: int, clip: FrameSize) -> Box:
        """The crop in a picture of this size, for a clip of that."""
        upright = clip.width / clip.height
        for area, stretch in self.shapes:
            aspect = stretch * upright
            w = round((area * width * height * aspect) ** 0.5)
            h = round((area * width * height / aspect) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                left, top = _place(self.x, width - w), _place(self.y, height - h)
                return Box(left=left, top=top, width=w, height=h)
        least, most = self.stretch
        w = min(width, max(1, round(height * (most * upright))))
        h = min(height, max(1, round(width / (least * upright))))
        left, top = int(self.place * (width - w)), int(self.place * (height - h))
        return Box(left=left, top=top, width=w, height=h)


def _place(share: float, room: int) -> int:
    """One of the room + 1 places, all as likely."""
    return min(int(share * (room + 1)), room)


@dataclass(frozen=True, kw_only=True)
class MovingCrop:
    """A crop whose box goes at an even pace from that of `first` to that of `last`, over a clip."""

    first: Crop
    last: Crop
    place: int = 0
    """The picture, of `frames`, that is cut."""
    frames: int = 1

    @property
    def flip(self) -> bool:
        """Whether the whole clip is mirrored."""
        return self.first.flip

    @property
    def resampling(self) -> Resampling:
        """How boxes are made smaller."""
        return self.first.resampling

    def box(self, width: int, height: int, clip: FrameSize) -> Box:
        """The box of the picture at `place`: sides and corner, in whole pixels, rounded down."""
        first, last = (crop.box(width, height, clip) for crop in (self.first, self.last))
        steps = max(1, self.frames - 1)

        def between(one: int, other: int) -> int:
            return (one * (steps - self.place) + other * self.place) // steps

        return Box(
            left=between(first.left, last.left),
            top=between(first.top, last.top),
            width=between(first.width, last.width),
            height=between(first.height, last.height),
        )


CENTER_CROP = Crop()


def view_crops(count: int) -> tuple[Crop, ...]:
    """Crops as large as the picture allows, evenly from its one end to the other; one is centred.

    Three of a wide picture are its left, its centre and its right.
    """
    if count == 1:
        return (CENTER_CROP,)
    return tuple(Crop(place=i / (count - 1)) for i in range(count))


@dataclass(frozen=True, kw_only=True)
class ShortSideCrop:
    """A cut of the size of a clip from the picture scaled to this short side, which is no smaller.

    Bilinear, of four pixels each: what V-JEPA 2's published evaluation shows
    (facebookresearch/vjepa2 at c2963a4, `evals/video_classification_frozen/utils.py`), where one
    view is the centre and several go along the longer side.
    """

    short_side: int
    view: int = 0
    views: int = 1
    flip: bool = False

    def framing(self, width: int, height: int, clip: FrameSize) -> "Framing":
        """How to cut a clip of that size from a picture of this."""
        scaled = self._scaled(width, height)
        if self.views == 1:
            left = round((scaled.width - clip.width) / 2)
            top = round((scaled.height - clip.height) / 2)
        else:
            step = (max(scaled) - min(clip)) // (self.views - 1)
            left, top = (0, self.view * step) if height > width else (self.view * step, 0)
        box = Box(left=left, top=top, width=clip.width, height=clip.height)
        return Framing(width=width, height=height, box=box, scaled=scaled)

    def _scaled(self, width: int, height: int) -> FrameSize:
        if width < height:
            return FrameSize(int(self.short_side * height / width), self.short_side)
        return FrameSize(self.short_side, int(self.short_side * width / height))


AnyCrop = Crop | MovingCrop | ShortSideCrop


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The size at which to decode a picture, and the box to cut from it there."""

    width: int
    height: int
    box: Box
    scaled: FrameSize | None = None
    """To what the decoded picture is scaled first, if to anything, `bilinear`."""
    resampling: Resampling = "antialiased"

    def cut(
        self, picture: UInt8[np.ndarray, "h w c"], size: FrameSize
    ) -> UInt8[np.ndarray, "{size.height} {size.width} c"]:
        """The box of `picture`, resized to `size`."""
        box = self.box
        if self.scaled is not None:
            picture = cv2.resize(picture, self.scaled[::-1], interpolation=cv2.INTER_LINEAR)
        part = picture[box.top : box.top + box.height, box.left : box.left + box.width]
        if part.shape[:2] == size:
            return part
        shrinks = box.width * box.height > size.width * size.height
        averages = shrinks and self.resampling == "antialiased"
        interpolation = cv2.INTER_AREA if averages else cv2.INTER_LINEAR
        return cv2.resize(part, (size.width, size.height), interpolation=interpolation)


def frame_whole(crop: AnyCrop, *, width: int, height: int, size: FrameSize) -> Framing:
    """How to cut a crop of `size` from a picture that is decoded as large as it is."""
    if isinstance(crop, ShortSideCrop):
        return crop.framing(width, height, size)
    box = crop.box(width, height, size)
    return Framing(width=width, height=height, box=box, resampling=crop.resampling)


def frame_crop(crop: AnyCrop, *, width: int, height: int, size: FrameSize) -> Framing:
    """How to decode a `width` x `height` picture for a crop of `size`.

    A box at least twice as large as the clip is scaled while decoding, so that no full-size RGB
    picture is made; below that, scaling the whole picture costs more than it saves. A crop that
    moves is never scaled so: its box would be rounded to the clip's larger pixels, and shake.
    """
    whole = frame_whole(crop, width=width, height=height, size=size)
    box = whole.box
    if not isinstance(crop, Crop) or crop.resampling != "antialiased":
        return whole
    if box.width < _LARGE * size.width or box.height < _LARGE * size.height:
        return whole
    scaled_width = max(size.width, round(width * size.width / box.width))
    scaled_height = max(size.height, round(height * size.height / box.height))
    scaled = Box(
        left=min(round(box.left * size.width / box.width), scaled_width - size.width),
        top=min(round(box.top * size.height / box.height), scaled_height - size.height),
        width=size.width,
        height=size.height,
    )
    return Framing(width=scaled_width, height=scaled_height, box=scaled)
