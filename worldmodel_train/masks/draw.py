"""The masks of all mask groups of a method."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldmodel_train.masks.counter_random import stream
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import ClipGroup, Clips, MaskedClips, Masks, TokenGrid


@dataclass(frozen=True, kw_only=True)
class MaskPreparation:
    """Gives clips their masks."""

    samplers: tuple[MaskSampler, ...]
    tubelet: int
    patch: int

    def __call__(self, clips: Sequence[Clips], *, seed: int, step: int) -> MaskedClips:
        """The clips, each masked once by every sampler."""
        return MaskedClips(groups=tuple(self._masked(one, seed, step) for one in clips))

    def _masked(self, clips: Clips, seed: int, step: int) -> ClipGroup:
        grid = TokenGrid.of(*clips.pixels.shape[1:4], tubelet=self.tubelet, patch=self.patch)
        masks = draw_masks(self.samplers, grid, seed=seed, step=step, samples=clips.samples)
        return ClipGroup(
            clips=clips.pixels,
            masks=masks,
            length_index=clips.length_index,
            labels=clips.labels,
        )


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
    """The seed of a mask group, in 63 bits."""
    return int(stream("group", seed, group)[0]) >> 1
