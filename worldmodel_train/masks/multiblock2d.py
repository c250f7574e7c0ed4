"""I-JEPA's masks: several target blocks, and one large context block without them.

Assran et al. 2023 (I-JEPA). As in the released code one uniform number drives both scale and aspect
ratio, and no block starts in the last possible row or column, so the image's last row and column
are in no block.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.masks.blocks import MAX_ATTEMPTS, BlockSize, fill, sides, starts
from worldmodel_train.masks.counter_random import stream, uniforms
from worldmodel_train.masks.ranges import PositiveRange, ShareRange, within
from worldmodel_train.masks.select import Truncate, check_multiple, select
from worldmodel_train.types import Masks, TokenGrid


class Multiblock2D(StrictConfig):
    """Sampler of some target blocks, each its own target set, and one context block for images."""

    name: Literal["multiblock2d"] = "multiblock2d"
    num_targets: int = Field(default=4, ge=1)
    """Target blocks; they may overlap each other."""
    target_scale: ShareRange = (0.15, 0.2)
    """Area of a target block as a share of the image."""
    target_aspect: PositiveRange = (0.75, 1.5)
    """Height of a target block over its width, relative to the image's."""
    context_scale: ShareRange = (0.85, 1.0)
    """Area of the context block, which has the image's shape, as a share of it, before targets are
    taken out."""
    min_keep: int = Field(default=10, ge=0)
    """The context must keep more tokens than this, or the image's blocks are drawn again."""
    truncate: Truncate = "random"
    """How contexts of different size fit one tensor: `late` drops the lowest rows, as the released
    code does, `random` drops without a bias, `none` pads. Targets are all of one size."""
    multiple: int = Field(default=1, ge=1)
    """Contexts are cut (or padded, which needs a mask and rules flash attention out) to a multiple
    of so many tokens. Targets are of one size in a step, which differs between steps."""

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`: the block sizes from (seed, step), places from (seed, sample)."""
        self.check(grid)
        ids = np.asarray(samples, dtype=np.int64)
        context, targets = self._blocks(grid, seed, step, ids)
        priority = uniforms(
            stream("drop", self.name, seed), ids[:, None], np.arange(grid.num_tokens)
        )
        context_index, context_valid = select(context, self.truncate, priority, self.multiple)
        return Masks(
            context_index=context_index,
            target_index=block_index(targets),
            context_valid=context_valid,
        )

    def check(self, grid: TokenGrid) -> None:
        """Raises ValueError where no blocks can be drawn in such a grid."""
        if grid.frames != 1:
            raise ValueError(
                f"multiblock2d masks images, but these clips have {grid.frames} frames of tokens; "
                "use multiblock3d, or clips of one frame and tubelet=1"
            )
        if min(grid.height, grid.width) < 2:
            raise ValueError(
                f"multiblock2d needs at least 2x2 tokens, not {grid.height}x{grid.width}; "
                "use larger images or a smaller patch"
            )
        check_multiple(self.name, self.multiple, grid)

    def _sizes(self, grid: TokenGrid, seed: int, step: int) -> tuple[BlockSize, BlockSize]:
        """Size of the step's target blocks and of its context block."""
        key = stream("size", self.name, seed)
        first, second = uniforms(key, np.array([step]), np.arange(2)).tolist()
        aspect = within(self.target_aspect, first)
        return (
            _size(grid, within(self.target_scale, first), aspect),
            _size(grid, within(self.context_scale, second), 1.0),
        )

    def _blocks(
        self, grid: TokenGrid, seed: int, step: int, ids: Int[np.ndarray, "b"]
    ) -> tuple[Bool[np.ndarray, "b n"], Bool[np.ndarray, "b g n"]]:
        """Context and target tokens of each sample.

        Where the released code fails to place a context it ends up keeping target tokens in it;
        here all blocks of that sample are drawn again, so that no target is ever visible.
        """
        target_size, context_size = self._sizes(grid, seed, step)
        key = stream("place", self.name, seed)
        context = np.zeros((len(ids), grid.num_tokens), dtype=bool)
        targets = np.zeros((len(ids), self.num_targets, grid.num_tokens), dtype=bool)
        block = np.arange(self.num_targets + 1)[:, None]
        for attempt in range(MAX_ATTEMPTS):
            small = np.flatnonzero(context.sum(axis=1) <= self.min_keep)
            if not small.size:
                return context, targets
            draw = uniforms(key, ids[small, None, None], np.array([attempt]), block, np.arange(2))
            targets[small] = _place(draw[:, :-1], target_size, grid)
            context[small] = _place(draw[:, -1:], context_size, grid)[:, 0]
            context[small] &= ~targets[small].any(axis=1)
        raise ValueError(
            f"multiblock2d: num_targets={self.num_targets} of target_scale={self.target_scale} "
            f"leave no more than min_keep={self.min_keep} of {grid.height}x{grid.width} tokens as "
            "context; use fewer or smaller targets, a lower min_keep, or larger images"
        )


def _size(grid: TokenGrid, scale: float, stretch: float) -> BlockSize:
    height, width = sides(scale, stretch, grid)
    height, width = min(height, grid.height - 1), min(width, grid.width - 1)
    return BlockSize(frames=1, height=height, width=width)


def _place(
    draw: Float[np.ndarray, "b s 2"], size: BlockSize, grid: TokenGrid
) -> Bool[np.ndarray, "b s n"]:
    row = starts(draw[..., 0], grid.height - size.height)
    column = starts(draw[..., 1], grid.width - size.width)
    return fill((np.zeros_like(row), row, column), size, grid)


def block_index(blocks: Bool[np.ndarray, "b g n"]) -> Int[Tensor, "b g m"]:
    """Token ids of blocks that all have the same size."""
    batch, num_blocks, _ = blocks.shape
    (_, _, index) = blocks.nonzero()
    return torch.from_numpy(index.reshape(batch, num_blocks, -1))
