"""The masks of all mask groups of a recipe."""

from collections.abc import Sequence

from worldmodel_train.masks.counter_random import stream
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import Masks, TokenGrid


def draw_masks(
    samplers: Sequence[MaskSampler],
    grid: TokenGrid,
    *,
    seed: int,
    step: int,
    samples: Sequence[int],
) -> tuple[Masks, ...]:
    """One `Masks` over `samples` from each sampler, a pure function of the arguments.

    Every group draws from a seed of its own, so that two groups configured alike differ.
    """
    return tuple(
        sampler.sample(grid, seed=group_seed(seed, group), step=step, samples=samples)
        for group, sampler in enumerate(samplers)
    )


def group_seed(seed: int, group: int) -> int:
    """The seed of a recipe's mask group, in 63 bits."""
    return int(stream("group", seed, group)[0]) >> 1
