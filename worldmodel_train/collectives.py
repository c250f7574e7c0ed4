"""What ranks that train one model on batches of their own tell each other."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx


def num_ranks() -> int:
    """How many there are; 1 where there is no group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if num_ranks() > 1 else 0


def sum_over_ranks(value: Tensor) -> None:
    """Adds up `value` in place."""
    if num_ranks() > 1:
        dist.all_reduce(value)


def mean_over_ranks(value: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The mean; it has no gradient."""
    total = value.detach().clone()
    sum_over_ranks(total)
    return total / num_ranks()


def all_ranks_rows(rows: Float[Tensor, "b *d"]) -> Float[Tensor, "_ *d"]:
    """The rows of all ranks, in their order; each has equally many.

    Gradients go back to the rank that a row is of, as the sum of what all ranks made of it:
    averaged over ranks, that is the gradient of the mean of their losses.
    """
    return rows if num_ranks() == 1 else _AllRanksRows.apply(rows)


def summed_over_ranks(part: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The sum over ranks; as each rank's loss depends on it, so does its gradient."""
    return part if num_ranks() == 1 else _SumOverRanks.apply(part)


class _AllRanksRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        everybody = [torch.empty_like(rows) for _ in range(num_ranks())]
        dist.all_gather(everybody, rows.contiguous())
        return torch.cat(everybody)

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        total = grad_outputs[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(num_ranks())[rank()]


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, part: Tensor) -> Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        return _SumOverRanks.forward(ctx, *grad_outputs)


def copy_from_first_rank(*values: Tensor) -> None:
    """Gives all ranks what the first one has, in place."""
    if num_ranks() > 1:
        for value in values:
            dist.broadcast(value, src=0)
