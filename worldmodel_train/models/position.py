"""How tokens learn where they are: the choices a recipe has under `position`, and their use.

Each is its own configuration and has two methods: `add` acts on tokens before the first block,
`rotation_table` gives what attention applies to queries and keys. One of the two does nothing.
"""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from worldmodel_train.models.rope import Rope3d, Rope3dInterpolated, Rope3dVJepa2, Rotation
from worldmodel_train.models.sincos import SinCos1d, SinCos2d, SinCos3d
from worldmodel_train.models.token_sets import AttentionGroup
from worldmodel_train.types import TokenGrid

Position = Annotated[
    Rope3d | Rope3dInterpolated | Rope3dVJepa2 | SinCos3d | SinCos2d | SinCos1d,
    Field(discriminator="name"),
]


class Places:
    """Tells the tokens of a network where they are; keeps the tables of the grids it has met."""

    def __init__(self, position: Position, head_width: int) -> None:
        self.position = position
        self.head_width = head_width
        self._tables: dict[tuple[TokenGrid, torch.device], Rotation | None] = {}

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens with what positions add to them."""
        return self.position.add(tokens, index, grid)

    def group(
        self,
        index: Int[Tensor, "#b k"],
        valid: Bool[Tensor, "b k"] | None,
        grid: TokenGrid,
        rows: int,
        *,
        one_length: bool = False,
    ) -> AttentionGroup:
        """What attention needs to know of `rows` sequences of tokens with these ids."""
        table = self._table(grid, index.device)
        rotation = None if table is None else table.at(index)
        return AttentionGroup(rows, index.shape[1], rotation, valid, one_length)

    def _table(self, grid: TokenGrid, device: torch.device) -> Rotation | None:
        if (grid, device) not in self._tables:
            # one that is made in inference mode could not be used in training
            with torch.inference_mode(mode=False):
                table = self.position.rotation_table(grid, self.head_width, device)
            self._tables[grid, device] = table
        return self._tables[grid, device]
