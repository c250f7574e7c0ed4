"""Where a token sits in its clip."""

from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from worldmodel_train.types import TokenGrid


class Coordinates(NamedTuple):
    """Positions of tokens along the three axes of their grid."""

    frame: Int[Tensor, "b k"]
    row: Int[Tensor, "b k"]
    column: Int[Tensor, "b k"]


def coordinates(index: Int[Tensor, "b k"], grid: TokenGrid) -> Coordinates:
    """Frame, row and column of each token id; ids count time first, width fastest."""
    return Coordinates(
        frame=index // (grid.height * grid.width),
        row=index // grid.width % grid.height,
        column=index % grid.width,
    )
