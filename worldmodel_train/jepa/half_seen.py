"""A clip whose first half is seen and whose second is asked for: what energies are of."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldmodel_train.losses import LossConfig
from worldmodel_train.masks.past_and_future import halves
from worldmodel_train.types import ClipGroup, Clips, TokenGrid


def half_seen(context: Clips, grid: TokenGrid) -> ClipGroup:
    """The clips with one mask group, whose context is the first half and whose target the other."""
    clips = context.pixels
    masks = halves(grid, len(clips)).map(lambda tensor: tensor.to(clips.device))
    return ClipGroup(clips=clips, masks=(masks,), length_index=context.length_index)


def loss_of_each(
    loss: LossConfig,
    predicted: Float[Tensor, "b g m d"],
    seen: Float[Tensor, "b g m d"],
    valid: Bool[Tensor, "b g m"] | None = None,
) -> Float[Tensor, "b"]:
    """The loss of each sample by itself."""
    counted: Sequence[Tensor | None] = [None] * len(seen) if valid is None else valid.split(1)
    samples = zip(predicted.split(1), seen.split(1), counted, strict=True)
    return torch.stack([loss.loss(*sample) for sample in samples])
