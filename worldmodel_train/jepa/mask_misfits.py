"""Masks that leave nothing to see or nothing to predict, found before a run."""

from collections.abc import Iterable, Iterator, Sequence

from worldmodel_train.facts import Misfit, RecipeFacts
from worldmodel_train.masks import TimeFrequency
from worldmodel_train.models.token_fit import grid_of, shape_of
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import TokenGrid

_STEPS, _SAMPLES = 4, 8  # drawn to see


def mask_misfits(
    encoder: EncoderConfig, masks: Sequence[MaskSampler], facts: RecipeFacts
) -> Iterator[Misfit]:
    """What is wrong with masks of the clips of a recipe."""
    yield from grid_misfits(
        {grid_of(encoder, source.clip): None for source in facts.data}, masks, facts
    )


def grid_misfits(
    grids: Iterable[TokenGrid], masks: Sequence[MaskSampler], facts: RecipeFacts
) -> Iterator[Misfit]:
    """Draws a few masks: samplers refuse what can never work; empty sets teach nothing."""
    samples = range(min(facts.micro_batch, _SAMPLES))
    for index, sampler in enumerate(masks):
        key = ("method", "masks", index)
        for grid in grids:
            try:
                drawn = [
                    sampler.sample(grid, seed=facts.seed, step=step, samples=samples)
                    for step in _steps(sampler)
                ]
            except ValueError as error:
                yield key, str(error)
                break
            if any(0 in (*m.context_index.shape, *m.target_index.shape) for m in drawn):
                message = f"leaves no context or no target of {shape_of(grid)}; "
                yield key, message + "use another size of blocks"
                break


def _steps(sampler: MaskSampler) -> Iterable[int]:
    """The first steps, and where a sampler changes its ways those after that."""
    first = range(_STEPS)
    if not isinstance(sampler, TimeFrequency):
        return first
    return (*first, *range(sampler.ramp_steps, sampler.ramp_steps + 2 * _STEPS))
