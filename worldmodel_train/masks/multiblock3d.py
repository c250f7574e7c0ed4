"""V-JEPA's masks: the target is a union of blocks in space and time, the context all the rest.

Bardes et al. 2024 (V-JEPA), Assran et al. 2025 (V-JEPA 2). Blocks over the full time are tubes.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.masks.blocks import MAX_ATTEMPTS, BlockSize, fill, sides, starts
from worldmodel_train.masks.counter_random import stream, uniforms
from worldmodel_train.masks.ranges import PositiveRange, ShareRange, within
from worldmodel_train.masks.select import Truncate, check_multiple, select
from worldmodel_train.types import Masks, TokenGrid


class Multiblock3D(StrictConfig):
    """Sampler of one target, a union of equal blocks, and its complement as context."""

    name: Literal["multiblock3d"] = "multiblock3d"
    num_blocks: int = Field(default=8, ge=1)
    """Blocks whose union is the target."""
    spatial_scale: ShareRange = (0.15, 0.15)
    """Area of a block as a share of a frame."""
    temporal_scale: ShareRange = (1.0, 1.0)
    """Length of a block as a share of the clip; 1 makes tubes."""
    aspect_ratio: PositiveRange = (0.75, 1.5)
    """Height of a block over its width, relative to a frame's."""
    truncate: Truncate = "random"
    """How sets of different size fit one tensor: `late` drops the latest tokens, as the released
    V-JEPA code does, `random` drops without a bias, `none` pads."""
    multiple: int = Field(default=1, ge=1)
    """Sets are cut (or padded, which needs a mask and rules flash attention out) to a multiple of
    so many tokens: few sizes for compiled code and kernels to meet. 64 costs V-JEPA 2 about 4 % of
    the tokens. A set that has fewer stays as it is."""

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`: the block size from (seed, step), places from (seed, sample)."""
        check_multiple(self.name, self.multiple, grid)
        ids = np.asarray(samples, dtype=np.int64)
        target = self._targets(grid, self._block_size(grid, seed, step), seed, ids)
        priority = uniforms(
            stream("drop", self.name, seed), ids[:, None], np.arange(grid.num_tokens)
        )
        context_index, context_valid = select(~target, self.truncate, priority, self.multiple)
        target_index, target_valid = select(target, self.truncate, priority, self.multiple)
        return Masks(
            context_index=context_index,
            target_index=target_index.unsqueeze(1),
            context_valid=context_valid,
            target_valid=None if target_valid is None else target_valid.unsqueeze(1),
        )

    def _block_size(self, grid: TokenGrid, seed: int, step: int) -> BlockSize:
        """The first size of step's series of draws that does not fill the whole grid."""
        key = stream("size", self.name, seed)
        draws = uniforms(key, np.array([[step]]), np.arange(64)[:, None], np.arange(3))
        for temporal, spatial, aspect in draws.tolist():
            share, stretch = within(self.spatial_scale, spatial), within(self.aspect_ratio, aspect)
            height, width = sides(share, stretch, grid)
            size = BlockSize(
                frames=max(1, int(grid.frames * within(self.temporal_scale, temporal))),
                height=min(height, grid.height),
                width=min(width, grid.width),
            )
            if size != tuple(grid):
                return size
        raise ValueError(self._too_large(grid))

    def _targets(
        self, grid: TokenGrid, size: BlockSize, seed: int, ids: Int[np.ndarray, "b"]
    ) -> Bool[np.ndarray, "b n"]:
        """Target tokens of each sample, drawn again where they leave no context."""
        key = stream("place", self.name, seed)
        target = np.ones((len(ids), grid.num_tokens), dtype=bool)
        block = np.arange(self.num_blocks)[:, None]
        for attempt in range(MAX_ATTEMPTS):
            full = np.flatnonzero(target.all(axis=1))
            if not full.size:
                return target
            draw = uniforms(key, ids[full, None, None], np.array([attempt]), block, np.arange(3))
            frame, row, column = (
                starts(draw[..., axis], extent - length + 1)
                for axis, (extent, length) in enumerate(zip(grid, size, strict=True))
            )
            target[full] = fill((frame, row, column), size, grid).any(axis=1)
        raise ValueError(self._too_large(grid))

    def _too_large(self, grid: TokenGrid) -> str:
        return (
            f"multiblock3d: num_blocks={self.num_blocks} of spatial_scale={self.spatial_scale} "
            f"cover all of a grid of {grid.frames}x{grid.height}x{grid.width} tokens, so nothing "
            "is left as context; use fewer or smaller blocks, or larger clips"
        )
