"""Fixed samples of any kind of data, and some of them."""

from dataclasses import replace
from typing import TypeAlias

import torch
from jaxtyping import Int64
from torch import Tensor

from worldmodel_train.types import Audio, Clips, Trajectories

Samples: TypeAlias = Audio | Clips | Trajectories


def rows(samples: Samples, which: Int64[Tensor, "b"] | slice) -> Samples:
    """Those of the samples that are named, in this order."""
    kept = torch.arange(samples.num_samples)[which].tolist()
    part = samples.map(lambda tensor: tensor[which])
    return replace(part, samples=tuple(samples.samples[row] for row in kept))
