"""V-JEPA's masks: the target is a union of blocks in space and time, the context all the rest.

Bardes et al. 2024 (V-JEPA), Assran et al. 2025 (V-JEPA 2). Blocks over the full time are tubes.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.masks.blocks import MAX_ATTEMPTS, BlockSize, fill, sides, starts
from worldmodel_train.masks.counter_random import stream, uniforms
from worldmodel_train.masks.ranges import PositiveRange, ShareRange, within
from worldmodel_train.masks.select import Selected, Truncate, check_multiple, select
from worldmodel_train.types import Masks, TokenGrid


class Multiblock3D(StrictConfig):
    """Sampler of two sets, a union of equal blocks and the rest: one is seen, one is predicted.

    In the released code's words `max_keep` and `max_temporal_keep` are themselves, `predict: rest`
    is `inv_block`, `cut_tokens: blocks` is `full_complement`, `rest` is `pred_full_complement`.
    """

    name: Literal["multiblock3d"] = "multiblock3d"
    num_blocks: int = Field(default=8, ge=1)
    """Blocks whose union is the first set."""
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
    predict: Literal["blocks", "rest"] = "blocks"
    """Which set is predicted; the other one is the context."""
    max_keep: int | None = Field(default=None, ge=1)
    """Tokens that are kept of the rest, at most; `late` keeps the earliest, `random` and `none` any
    of them. None: all."""
    max_temporal_keep: float = Field(default=1.0, gt=0, le=1)
    """The rest is within the first frames of the clip, this share of them (at least one); later
    frames count as blocks."""
    cut_tokens: Literal["neither", "blocks", "rest"] = "neither"
    """Which set gets the tokens that the other one is cut by. It then is the other's complement,
    is not cut itself, and need not be of a `multiple`."""

    @model_validator(mode="after")
    def _rest_is_bounded_or_filled(self) -> "Multiblock3D":
        if self.cut_tokens == "rest" and self.max_keep is not None:
            raise ValueError(
                f"max_keep={self.max_keep} bounds the rest, but with cut_tokens=rest it takes all "
                "that is not in blocks; use cut_tokens=blocks, or leave max_keep out"
            )
        return self

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`: the block size from (seed, step), places from (seed, sample)."""
        check_multiple(self.name, self.multiple, grid)
        ids = np.asarray(samples, dtype=np.int64)
        blocks = self._blocks(grid, self._block_size(grid, seed, step), seed, ids)
        priority = uniforms(
            stream("drop", self.name, seed), ids[:, None], np.arange(grid.num_tokens)
        )
        cut = self._cut(blocks, priority)
        target, context = cut if self.predict == "blocks" else cut[::-1]
        target_index, target_valid = target
        return Masks(
            context_index=context[0],
            target_index=target_index.unsqueeze(1),
            context_valid=context[1],
            target_valid=None if target_valid is None else target_valid.unsqueeze(1),
        )

    def _cut(
        self, blocks: Bool[np.ndarray, "b n"], priority: Float[np.ndarray, "b n"]
    ) -> tuple[Selected, Selected]:
        """Blocks and rest, each of one size, or padded."""
        if self.cut_tokens == "rest":
            chosen = select(blocks, self.truncate, priority, self.multiple)
            return chosen, self._complement(chosen, priority)
        rest = select(~blocks, self.truncate, priority, self.multiple, self.max_keep)
        if self.cut_tokens == "blocks":
            return self._complement(rest, priority), rest
        return select(blocks, self.truncate, priority, self.multiple), rest

    def _complement(self, chosen: Selected, priority: Float[np.ndarray, "b n"]) -> Selected:
        """All tokens that are not among those; as many of each sample, or padded."""
        index, valid = chosen
        others = np.ones(priority.shape, dtype=bool)
        # what pads a set repeats one of its members
        np.put_along_axis(others, index.numpy(), values=False, axis=1)
        return select(others, self.truncate, priority, 1 if valid is None else self.multiple)

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

    def _blocks(
        self, grid: TokenGrid, size: BlockSize, seed: int, ids: Int[np.ndarray, "b"]
    ) -> Bool[np.ndarray, "b n"]:
        """Tokens of each sample's blocks, drawn again where they leave no rest."""
        key = stream("place", self.name, seed)
        inside = np.ones((len(ids), grid.num_tokens), dtype=bool)
        late = np.arange(grid.frames) >= max(1, int(grid.frames * self.max_temporal_keep))
        late = late.repeat(grid.height * grid.width)
        block = np.arange(self.num_blocks)[:, None]
        for attempt in range(MAX_ATTEMPTS):
            full = np.flatnonzero(inside.all(axis=1))
            if not full.size:
                return inside
            draw = uniforms(key, ids[full, None, None], np.array([attempt]), block, np.arange(3))
            frame, row, column = (
                starts(draw[..., axis], extent - length + 1)
                for axis, (extent, length) in enumerate(zip(grid, size, strict=True))
            )
            inside[full] = fill((frame, row, column), size, grid).any(axis=1) | late
        raise ValueError(self._too_large(grid))

    def _too_large(self, grid: TokenGrid) -> str:
        early = max(1, int(grid.frames * self.max_temporal_keep))
        if early < grid.frames:
            return (
                f"multiblock3d: num_blocks={self.num_blocks} of spatial_scale={self.spatial_scale} "
                f"cover the first {early} of {grid.frames} frames of tokens, and of others "
                f"max_temporal_keep={self.max_temporal_keep} keeps none; use a larger one, or "
                "smaller blocks"
            )
        return (
            f"multiblock3d: num_blocks={self.num_blocks} of spatial_scale={self.spatial_scale} "
            f"cover all of a grid of {grid.frames}x{grid.height}x{grid.width} tokens, so nothing "
            "is left beside them, as context or to predict; use fewer or smaller blocks, or larger "
            "clips"
        )
