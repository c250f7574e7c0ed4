"""How sure a statistic over videos is."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_BOOTSTRAPS = 1000


def bootstrap_interval(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """The 95 % interval of the mean when as many values are drawn anew, the same on every call."""
    return interval_over_draws(lambda drawn: values[drawn].mean(), len(values))


def interval_over_draws(
    statistic: Callable[[Int64[Tensor, "n"]], Float[Tensor, ""]], num_videos: int
) -> tuple[float, float]:
    """The 95 % interval of a statistic of the numbers of videos drawn, the same on every call."""
    generator = torch.Generator().manual_seed(0)
    values = torch.stack(
        [
            statistic(torch.randint(num_videos, (num_videos,), generator=generator))
            for _ in range(_BOOTSTRAPS)
        ]
    )
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return low, high
