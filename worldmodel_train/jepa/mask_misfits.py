"""Masks that leave nothing to see or nothing to predict, found before a run."""

from collections.abc import Iterator, Sequence

from worldmodel_train.facts import Misfit, RecipeFacts
from worldmodel_train.models.token_fit import grid_of, shape_of
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import MaskSampler

_STEPS, _SAMPLES = 4, 8  # drawn to see


def mask_misfits(
    encoder: EncoderConfig, masks: Sequence[MaskSampler], facts: RecipeFacts
) -> Iterator[Misfit]:
    """Draws a few masks: samplers refuse what can never work; empty sets teach nothing."""
    grids = {grid_of(encoder, source.clip): None for source in facts.data}
    samples = range(min(facts.micro_batch, _SAMPLES))
    for index, sampler in enumerate(masks):
        key = ("method", "masks", index)
        for grid in grids:
            try:
                drawn = [
                    sampler.sample(grid, seed=facts.seed, step=step, samples=samples)
                    for step in range(_STEPS)
                ]
            except ValueError as error:
                yield key, str(error)
                break
            if any(0 in (*m.context_index.shape, *m.target_index.shape) for m in drawn):
                message = f"leaves no context or no target of {shape_of(grid)}; "
                yield key, message + "use another size of blocks"
                break
