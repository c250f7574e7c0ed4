"""What of a recipe does not suit a method that takes images, clips of one frame, among clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.mask_misfits import mask_misfits
from worldmodel_train.models.token_fit import encoder_misfits, token_misfits
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import MaskSampler


@dataclass(frozen=True)
class _ImageSize:
    """A patch of one frame."""

    patch: int
    tubelet: int = 1


def image_and_clip_misfits(
    encoder: EncoderConfig,
    masks: Sequence[MaskSampler],
    image_masks: Sequence[MaskSampler],
    facts: RecipeFacts,
) -> Iterator[Misfit]:
    """Clips and images that are no whole tokens; else, masks that leave nothing of them."""
    clips, images = _parted(facts)
    size = _ImageSize(encoder.patch)
    not_tokens = [
        *encoder_misfits(encoder, clips.data),
        *token_misfits(size, images.data, key="method.encoder"),
    ]
    yield from dict.fromkeys(not_tokens)  # a frame that is in pieces is so for both
    if not not_tokens:  # else there is nothing to mask
        yield from mask_misfits(encoder, masks, clips)
        yield from mask_misfits(size, image_masks, images, key="image_masks")


def _parted(facts: RecipeFacts) -> tuple[RecipeFacts, RecipeFacts]:
    """The facts with clips alone, and with images alone."""
    return (
        replace(facts, data=_only(facts.data, images=False)),
        replace(facts, data=_only(facts.data, images=True)),
    )


def _only(data: DataFacts, *, images: bool) -> DataFacts:
    held_out = data.held_out
    if held_out is not None and (held_out.clip.frames == 1) != images:
        held_out = None
    sources = tuple(s for s in data.sources if (s.clip.frames == 1) == images)
    return replace(data, sources=sources, held_out=held_out)
