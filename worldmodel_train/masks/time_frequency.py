"""A-JEPA's masks of spectrograms: blocks at first, then whole stretches of time and whole bands.

Fei et al. 2023 (A-JEPA, arXiv 2311.15830): what is next to a hidden block in time or frequency
tells much of it, so ever more steps hide all of a stretch of time, or all of a band. The paper's
numbers are not public; those here are ours.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.masks.blocks import MAX_ATTEMPTS, BlockSize, fill, starts
from worldmodel_train.masks.counter_random import stream, uniforms
from worldmodel_train.masks.multiblock2d import Multiblock2D, block_index
from worldmodel_train.masks.ranges import ShareRange, within
from worldmodel_train.masks.select import Truncate, select
from worldmodel_train.types import Masks, TokenGrid


class TimeFrequency(StrictConfig):
    """Sampler of blocks that become stretches of time and bands of frequency as training goes on.

    A step's masks are of one kind. Rows of the grid are times, columns are bands.
    """

    name: Literal["time_frequency"] = "time_frequency"
    blocks: Multiblock2D = Multiblock2D()
    """The masks of the beginning. How many targets there are, how many tokens a context keeps at
    least and how it is cut is the same for all kinds."""
    ramp_steps: int = Field(ge=0)
    """Steps over which the share of those that hide times or bands grows from `start` to `end`."""
    start: float = Field(default=0.0, ge=0, le=1)
    """Their share in the first step."""
    end: float = Field(default=1.0, ge=0, le=1)
    """Their share after the ramp."""
    time: float = Field(default=0.5, ge=0, le=1)
    """Share of these that hide times; the others hide bands."""
    extent: ShareRange = (0.15, 0.2)
    """How much of all times, or of all bands, each target hides."""

    def sample(self, grid: TokenGrid, *, seed: int, step: int, samples: Sequence[int]) -> Masks:
        """Masks for `samples`: kind and size from (seed, step), places from (seed, sample)."""
        self.blocks.check(grid)
        kind, times, extent = uniforms(
            stream("kind", self.name, seed), np.array([step]), np.arange(3)
        ).tolist()
        if kind >= self.share(step):
            return self.blocks.sample(grid, seed=seed, step=step, samples=samples)
        ids = np.asarray(samples, dtype=np.int64)
        size = self._stretch(grid, extent) if times < self.time else self._band(grid, extent)
        targets = self._targets(grid, size, seed, ids)
        priority = uniforms(
            stream("drop", self.name, seed), ids[:, None], np.arange(grid.num_tokens)
        )
        context = np.logical_not(targets.any(axis=1))
        index, valid = select(context, self.blocks.truncate, priority, self.blocks.multiple)
        return Masks(context_index=index, target_index=block_index(targets), context_valid=valid)

    @property
    def truncate(self) -> Truncate:
        """As `blocks` say it."""
        return self.blocks.truncate

    def share(self, step: int) -> float:
        """The share of steps that hide times or bands, at this one."""
        done = 1.0 if step >= self.ramp_steps else step / self.ramp_steps
        return self.start + done * (self.end - self.start)

    def _stretch(self, grid: TokenGrid, uniform: float) -> BlockSize:
        """All bands of some times."""
        times = round(within(self.extent, uniform) * grid.height)
        return BlockSize(frames=1, height=max(1, times), width=grid.width)

    def _band(self, grid: TokenGrid, uniform: float) -> BlockSize:
        """All times of some bands."""
        bands = round(within(self.extent, uniform) * grid.width)
        return BlockSize(frames=1, height=grid.height, width=max(1, bands))

    def _targets(
        self, grid: TokenGrid, size: BlockSize, seed: int, ids: Int[np.ndarray, "b"]
    ) -> Bool[np.ndarray, "b g n"]:
        """Target tokens of each sample, drawn again where they leave too little context."""
        key = stream("place", self.name, seed)
        targets = np.ones((len(ids), self.blocks.num_targets, grid.num_tokens), dtype=bool)
        block = np.arange(self.blocks.num_targets)[:, None]
        for attempt in range(MAX_ATTEMPTS):
            left = (~targets.any(axis=1)).sum(axis=1)
            small = np.flatnonzero(left <= self.blocks.min_keep)
            if not small.size:
                return targets
            draw = uniforms(key, ids[small, None, None], np.array([attempt]), block, np.arange(2))
            row = starts(draw[..., 0], grid.height - size.height + 1)
            column = starts(draw[..., 1], grid.width - size.width + 1)
            targets[small] = fill((np.zeros_like(row), row, column), size, grid)
        raise ValueError(
            f"time_frequency: blocks.num_targets={self.blocks.num_targets} of extent={self.extent} "
            f"leave no more than blocks.min_keep={self.blocks.min_keep} of {grid.height} times by "
            f"{grid.width} bands as context; use fewer or smaller targets, or a lower min_keep"
        )
