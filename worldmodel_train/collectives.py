"""What ranks that train one model on batches of their own tell each other."""

import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def num_ranks() -> int:
    """How many there are; 1 where there is no group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(value: Tensor) -> None:
    """Adds up `value` in place."""
    if num_ranks() > 1:
        dist.all_reduce(value)


def mean_over_ranks(value: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The mean; it has no gradient."""
    total = value.detach().clone()
    sum_over_ranks(total)
    return total / num_ranks()


def copy_from_first_rank(*values: Tensor) -> None:
    """Gives all ranks what the first one has, in place."""
    if num_ranks() > 1:
        for value in values:
            dist.broadcast(value, src=0)
