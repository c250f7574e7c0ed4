"""What of a clip stands out, in regions from the most salient one to the background (DSeq-JEPA).

Tokens above Otsu's threshold (1979) fall apart into regions that touch, at corners too; in clips
neighbours in time touch as well. A region comes the earlier the more salient its mean is.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from worldmodel_train.masks.select import select
from worldmodel_train.types import Masks, TokenGrid

_BINS = 256
_TOUCHING = np.ones((3, 3, 3), dtype=bool)


def otsu_threshold(values: Float[np.ndarray, "b n"]) -> Float[np.ndarray, "b 1"]:
    """Of each row the value that parts it into two classes whose means are furthest apart.

    Weighted by how many each has, in 256 bins from the least to the greatest: what is above it is
    in the upper class. Of rows that do not vary it is their value.
    """
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    width = (high - low) / _BINS
    bins = np.minimum((values - low) / np.where(width > 0, width, 1), _BINS - 1).astype(int)
    counts = np.zeros((len(values), _BINS))
    np.add.at(counts, (np.arange(len(values))[:, None], bins), 1)
    below = counts.cumsum(axis=1)
    sums = (counts * np.arange(_BINS)).cumsum(axis=1)
    above = below[:, -1:] - below
    apart = sums / np.maximum(below, 1) - (sums[:, -1:] - sums) / np.maximum(above, 1)
    cut = (below * above * apart**2).argmax(axis=1)[:, None]
    return np.where(width > 0, low + (cut + 1) * width, high)


def salient_regions(
    saliency: Float[np.ndarray, "n"], grid: TokenGrid, *, most: int, least_area: float
) -> list[Bool[np.ndarray, "n"]]:
    """At most `most` regions in the order of their mean saliency, the background last.

    A region has at least this share of all tokens; where none has, the largest stands for them. The
    background is what is in none.
    """
    saliency = np.nan_to_num(saliency)  # a loss that is no number is told of by its own watch
    standing_out = saliency > otsu_threshold(saliency[None])[0, 0]
    labels = np.zeros(grid, dtype=np.int32)
    ndimage.label(standing_out.reshape(grid), structure=_TOUCHING, output=labels)
    regions = [(labels == label).ravel() for label in range(1, labels.max() + 1)]
    if not regions:  # saliency does not vary: any token may begin
        regions = [np.arange(len(saliency)) == saliency.argmax()]
    large = [one for one in regions if one.sum() >= least_area * len(saliency)]
    chosen = large or [max(regions, key=np.count_nonzero)]
    chosen = sorted(chosen, key=lambda one: -saliency[one].mean())[: most - 1]
    return [*chosen, ~np.any(chosen, axis=0)]


def sequence_masks(regions: Sequence[Sequence[Bool[np.ndarray, "n"]]]) -> tuple[Masks, ...]:
    """From the regions of each clip, for each step the next one to predict from all before it.

    Step k has the union of the first k + 1 regions as context and the one after them as its only
    target set. Where a clip has no region left its target has no valid token.
    """
    steps = max(len(one) for one in regions) - 1
    return tuple(_step(regions, step) for step in range(steps))


def _step(regions: Sequence[Sequence[Bool[np.ndarray, "n"]]], step: int) -> Masks:
    nothing = np.zeros_like(regions[0][0])
    target = np.stack([one[step + 1] if step + 1 < len(one) else nothing for one in regions])
    context = np.stack(
        # who has nothing left to predict is shown its first region alone, which costs least
        [np.any(one[: step + 1] if step + 1 < len(one) else one[:1], axis=0) for one in regions]
    )
    any_order = np.zeros(context.shape)
    context_index, context_valid = select(context, "none", any_order)
    target_index, target_valid = select(target, "none", any_order)
    return Masks(
        context_index=context_index,
        target_index=target_index[:, None],
        context_valid=context_valid,
        target_valid=None if target_valid is None else target_valid[:, None],
    )
