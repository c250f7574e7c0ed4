"""The Triton kernel as one operator of torch: for autograd, and opaque to torch.compile."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worldmodel_kernels.rope.packed import group_views


@torch.library.custom_op("worldmodel_kernels::rope_groups", mutates_args=())
def turn_groups(
    qkv: Tensor, rows: Sequence[int], cos: Sequence[Tensor], sin: Sequence[Tensor]
) -> list[Tensor]:
    """Queries, keys and values `b n h e` of each group, contiguous, the first two turned.

    `qkv` `n 3 h e` has the groups one after the other; group i has `rows[i]` sequences.
    """
    from worldmodel_kernels.rope.triton_impl import turn_heads

    return [
        heads
        for view, *tables in zip(_views(qkv, rows, cos), cos, sin, strict=True)
        for heads in turn_heads(view, *tables)
    ]


@torch.library.custom_op("worldmodel_kernels::rope_groups_gradient", mutates_args=())
def gradient_of_groups(
    heads: Sequence[Tensor], cos: Sequence[Tensor], sin: Sequence[Tensor]
) -> Tensor:
    """The gradient `n 3 h e` of packed heads, contiguous, from those of the turned ones."""
    from worldmodel_kernels.rope.triton_impl import turn_gradients

    packed = _packed(heads)
    views = _views(packed, [len(queries) for queries in heads[::3]], cos)
    for number, (view, *tables) in enumerate(zip(views, cos, sin, strict=True)):
        queries, keys, values = heads[3 * number : 3 * number + 3]
        turn_gradients((queries, keys, values), view, *tables)
    return packed


@turn_groups.register_fake
def _(
    qkv: Tensor, rows: Sequence[int], cos: Sequence[Tensor], _sin: Sequence[Tensor]
) -> list[Tensor]:
    heads, width = qkv.shape[2:]
    return [
        qkv.new_empty(count, table.shape[1], heads, width)
        for count, table in zip(rows, cos, strict=True)
        for _ in range(3)
    ]


@gradient_of_groups.register_fake
def _(heads: Sequence[Tensor], _cos: Sequence[Tensor], _sin: Sequence[Tensor]) -> Tensor:
    return _packed(heads)


def _packed(heads: Sequence[Tensor]) -> Tensor:
    tokens = sum(queries.shape[0] * queries.shape[1] for queries in heads[::3])
    return heads[0].new_empty(tokens, 3, *heads[0].shape[2:])


def _views(packed: Tensor, rows: Sequence[int], cos: Sequence[Tensor]) -> list[Tensor]:
    shapes = [(count, table.shape[1]) for count, table in zip(rows, cos, strict=True)]
    return group_views(packed, shapes)


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ANN401
    _, _, cos, sin = inputs
    ctx.num_groups = len(cos)
    ctx.save_for_backward(*cos, *sin)


def _backward(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:  # noqa: ANN401
    tables = ctx.saved_tensors  # read once: activation checkpointing allows no more
    cos, sin = list(tables[: ctx.num_groups]), list(tables[ctx.num_groups :])
    no_gradient = [None] * ctx.num_groups
    return gradient_of_groups(gradients, cos, sin), None, no_gradient, no_gradient


turn_groups.register_autograd(_backward, setup_context=_save)
