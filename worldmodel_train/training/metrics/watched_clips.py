"""A few clips of the batch that was just trained on, for what looks at them in passing."""

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from worldmodel_train.types import Clips, Content, MaskedClips

Labels = Int[Tensor, " b"] | Bool[Tensor, "b classes"]
Watched = tuple[UInt8[Tensor, "b t h w c"], Labels | None]


def few_clips(content: Content, number: int) -> Watched | None:
    """Copies of at most so many clips and their labels; None of content without clips.

    They are of the commonest length, the first of those that are as common, and evenly spread.
    """
    if isinstance(content, MaskedClips):
        groups = [(group.clips, group.labels) for group in content.groups]
    elif isinstance(content, Clips):
        groups = [(content.pixels, content.labels)]
    else:
        return None
    clips, labels = max(groups, key=lambda group: len(group[0]))
    few = min(number, len(clips))
    chosen = torch.arange(few, device=clips.device) * len(clips) // few
    return clips[chosen], None if labels is None else labels[chosen]
