"""How a recipe says the size of pictures: one number for a square, or height and width."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from worldmodel_train.facts import FrameSize


def _spelling(size: object) -> str:
    return "sides" if isinstance(size, list | tuple) else "side"


Side = Annotated[int, Field(ge=1)]
PictureSize = Annotated[
    Annotated[Side, Tag("side")] | Annotated[tuple[Side, Side], Tag("sides")],
    Discriminator(_spelling),
]


def frame_size(size: PictureSize) -> FrameSize:
    """Height and width, however they are spelled."""
    return FrameSize(size, size) if isinstance(size, int) else FrameSize(*size)
