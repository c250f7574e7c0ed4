"""How sure a mean over videos is."""

import torch
from jaxtyping import Float
from torch import Tensor

_BOOTSTRAPS = 1000


def bootstrap_interval(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """The 95 % interval of the mean when as many values are drawn anew, the same on every call."""
    generator = torch.Generator().manual_seed(0)
    means = torch.stack(
        [
            values[torch.randint(len(values), (len(values),), generator=generator)].mean()
            for _ in range(_BOOTSTRAPS)
        ]
    )
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high
