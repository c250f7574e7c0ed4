"""Rotary positions along time, height and width (V-JEPA 2, arXiv 2506.09985)."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.coordinates import coordinates
from worldmodel_train.types import TokenGrid

THETA = 10_000.0


class Rotation(NamedTuple):
    """The turn of each pair of neighbouring channels (0 and 1, 2 and 3, ...) of a head, in fp32.

    Queries, keys, heads and blocks share it.
    """

    cos: Float[Tensor, "#b k e"]
    sin: Float[Tensor, "#b k e"]
    """How much of its partner each channel takes; negative in the first channel of a pair."""

    def at(self, index: Int[Tensor, "b k"]) -> "Rotation":
        """The rotation of tokens with these ids, from a table `1 n e` of all."""
        return Rotation(self.cos[0, index], self.sin[0, index])


class Rope3d(StrictConfig):
    """Queries and keys are rotated, so that attention sees only where tokens are to each other."""

    name: Literal["rope3d"] = "rope3d"

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens as they are: rotary positions act inside attention."""
        return tokens

    def rotation_table(self, grid: TokenGrid, head_width: int, device: torch.device) -> Rotation:
        """The rotation of every token, `1 n e`; both channels of a pair turn by its frequency."""
        return _rotation_table(grid, head_width, device, _each_twice)


class Rope3dVJepa2(StrictConfig):
    """What the released V-JEPA 2 weights were trained with; only they need it.

    The released code lists an axis's frequencies twice in a row (w0 .. wn w0 .. wn) but pairs
    neighbouring channels, so the two channels of a pair turn by different angles. That neither
    keeps norms nor depends on relative positions alone. `rope3d` is the rotation that was meant.
    """

    name: Literal["rope3d_vjepa2"] = "rope3d_vjepa2"

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens as they are: rotary positions act inside attention."""
        return tokens

    def rotation_table(self, grid: TokenGrid, head_width: int, device: torch.device) -> Rotation:
        """The released rotation of every token, `1 n e`."""
        return _rotation_table(grid, head_width, device, _all_twice)


class Rope3dInterpolated(StrictConfig):
    """`rope3d` with rows and columns stretched to a reference grid, as V-JEPA 2.1 places tokens.

    The first row is at 0 and the last at `reference` - 1, however many lie between: a picture of
    more pixels has finer positions, and no new ones. Time is counted as it is.
    """

    name: Literal["rope3d_interpolated"] = "rope3d_interpolated"
    reference: int = Field(default=16, gt=1)
    """Rows and columns of the grid that positions are stretched to: 256 pixels in patches of 16."""

    def add(
        self, tokens: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        """The tokens as they are: rotary positions act inside attention."""
        return tokens

    def rotation_table(self, grid: TokenGrid, head_width: int, device: torch.device) -> Rotation:
        """The rotation of every token, `1 n e`; both channels of a pair turn by its frequency."""
        scales = (1.0, self._scale(grid.height), self._scale(grid.width))
        return _rotation_table(grid, head_width, device, _each_twice, scales)

    def _scale(self, places: int) -> float:
        """The distance of neighbours; a single row is at 0."""
        return (self.reference - 1) / max(places - 1, 1)


def axis_width(head_width: int) -> int:
    """Channels of a head that one axis rotates: the largest even number in a third."""
    return 2 * (head_width // 3 // 2)


def _rotation_table(
    grid: TokenGrid,
    head_width: int,
    device: torch.device,
    spread: Callable[[Tensor], Tensor],
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Rotation:
    """Rotation by the three axes in turn; `spread` lays n frequencies out over 2n channels.

    Neighbours on an axis are its scale apart.
    """
    pairs = axis_width(head_width) // 2
    assert pairs > 0, f"heads of width {head_width} have no room for three axes"
    exponent = torch.arange(pairs, dtype=torch.float32, device=device) / pairs
    frequencies = 1.0 / THETA**exponent
    index = torch.arange(grid.num_tokens, device=device)[None]
    axes = [
        spread((axis * scale)[..., None] * frequencies)
        for axis, scale in zip(coordinates(index, grid), scales, strict=True)
    ]
    # channels left over are not rotated: their angle is zero
    angles = functional.pad(torch.cat(axes, dim=-1), (0, head_width - 6 * pairs))
    sign = torch.arange(head_width, device=device) % 2 * 2 - 1
    return Rotation(angles.cos(), angles.sin() * sign)


def _each_twice(frequencies: Float[Tensor, "1 n f"]) -> Float[Tensor, "1 n e"]:
    return frequencies.repeat_interleave(2, dim=-1)


def _all_twice(frequencies: Float[Tensor, "1 n f"]) -> Float[Tensor, "1 n e"]:
    return torch.cat((frequencies, frequencies), dim=-1)
