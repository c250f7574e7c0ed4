"""Masks that leave nothing to see or nothing to predict, found before a run."""

from collections.abc import Iterable, Iterator, Sequence

from worldmodel_train.facts import Misfit, RecipeFacts
from worldmodel_train.masks import TimeFrequency
from worldmodel_train.models.token_fit import TubeletSize, encoder_misfits, grid_of, shape_of
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import TokenGrid

_STEPS, _SAMPLES = 4, 8  # drawn to see


def masked_misfits(
    encoder: EncoderConfig, masks: Sequence[MaskSampler], facts: RecipeFacts
) -> Iterator[Misfit]:
    """Clips that are no whole tokens; where they are, masks that do not suit them."""
    not_tokens = list(encoder_misfits(encoder, facts.data))
    yield from not_tokens
    if not not_tokens:  # else there is nothing to mask
        yield from mask_misfits(encoder, masks, facts)


def mask_misfits(
    encoder: TubeletSize, masks: Sequence[MaskSampler], facts: RecipeFacts, *, key: str = "masks"
) -> Iterator[Misfit]:
    """What is wrong with masks of the clips of a recipe; `key` is where the method has them."""
    grids = {grid_of(encoder, source.clip): None for source in facts.data}
    yield from grid_misfits(grids, masks, facts, key=key)


def grid_misfits(
    grids: Iterable[TokenGrid],
    masks: Sequence[MaskSampler],
    facts: RecipeFacts,
    *,
    key: str = "masks",
) -> Iterator[Misfit]:
    """Draws a few masks: samplers refuse what can never work; empty sets teach nothing."""
    samples = range(min(facts.micro_batch, _SAMPLES))
    for index, sampler in enumerate(masks):
        place = ("method", key, index)
        for grid in grids:
            try:
                drawn = [
                    sampler.sample(grid, seed=facts.seed, step=step, samples=samples)
                    for step in _steps(sampler)
                ]
            except ValueError as error:
                yield place, str(error)
                break
            if any(0 in (*m.context_index.shape, *m.target_index.shape) for m in drawn):
                message = f"leaves no context or no target of {shape_of(grid)}; "
                yield place, message + "use another size of blocks"
                break


def _steps(sampler: MaskSampler) -> Iterable[int]:
    """The first steps, and where a sampler changes its ways those after that."""
    first = range(_STEPS)
    if not isinstance(sampler, TimeFrequency):
        return first
    return (*first, *range(sampler.ramp_steps, sampler.ramp_steps + 2 * _STEPS))
