"""Heads of several groups from one packed tensor, in plain PyTorch, with one packed gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from worldmodel_kernels.rope.reference import rope_reference, turn_back

Heads = tuple[Tensor, Tensor, Tensor]
"""Queries, keys, values of a group, each `rows tokens h e`."""
Shapes = Sequence[tuple[int, int]]
Tables = tuple[Sequence[Tensor], Sequence[Tensor]]
"""Cosines of each group, and sines."""


def split_packed(qkv: Tensor, shapes: Shapes, tables: Tables | None) -> list[Heads]:
    """The heads of each group of `qkv` `n 3 h e`, turned where there are tables."""
    # compiled code fuses the copies of the plain spelling away
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and qkv.requires_grad):
        return _split(qkv, shapes, tables)
    cosines, sines = ((), ()) if tables is None else tables
    heads = iter(_SplitPacked.apply(qkv, shapes, *cosines, *sines))
    return list(zip(heads, heads, heads, strict=True))


def group_views(packed: Tensor, shapes: Shapes) -> list[Tensor]:
    """Each group's stretch of a packed tensor `n 3 h e` as `rows tokens 3 h e`."""
    parts = packed.split([rows * tokens for rows, tokens in shapes])
    return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]


def _split(qkv: Tensor, shapes: Shapes, tables: Tables | None) -> list[Heads]:
    views = group_views(qkv, shapes)
    if tables is None:
        return [_three(view) for view in views]
    return [rope_reference(*one) for one in zip(views, *tables, strict=True)]


class _SplitPacked(torch.autograd.Function):
    """Writes the gradients of all groups into one tensor."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, shapes: Shapes, *tables: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401
        ctx.shapes, ctx.like = shapes, qkv.shape
        ctx.save_for_backward(*tables)
        split = _split(qkv, shapes, _by_kind(tables))
        return tuple(head for heads in split for head in heads)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # noqa: ANN401
        *gradients: Tensor,
    ) -> tuple[Tensor | None, ...]:
        packed, given = gradients[0].new_empty(ctx.like), iter(gradients)
        views, tables = group_views(packed, ctx.shapes), _pairs(ctx.saved_tensors, len(ctx.shapes))
        for view, turns in zip(views, tables, strict=True):
            queries, keys, values = _three(view)
            turn_back(next(given), turns, queries)
            turn_back(next(given), turns, keys)
            values.copy_(next(given))
        return packed, None, *(None for _ in ctx.needs_input_grad[2:])


def _three(view: Tensor) -> Heads:
    queries, keys, values = view.unbind(2)
    return queries, keys, values


def _by_kind(tables: Sequence[Tensor]) -> Tables | None:
    half = len(tables) // 2
    return (tables[:half], tables[half:]) if tables else None


def _pairs(
    tables: Sequence[Tensor], num_groups: int
) -> Sequence[tuple[Tensor, Tensor]] | Sequence[None]:
    """Cosines and sines of each group."""
    kinds = _by_kind(tables)
    return [None] * num_groups if kinds is None else list(zip(*kinds, strict=True))
