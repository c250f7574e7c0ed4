"""The Triton kernel as one operator of torch: for autograd, and opaque to torch.compile."""

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("worldmodel_kernels::rope", mutates_args=())
def turn(qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values `b n h e`, contiguous, the first two turned."""
    from worldmodel_kernels.rope.triton_impl import turn_heads

    return turn_heads(qkv, cos, sin)


@torch.library.custom_op("worldmodel_kernels::rope_gradient", mutates_args=())
def gradient_of_qkv(
    queries: Tensor, keys: Tensor, values: Tensor, cos: Tensor, sin: Tensor
) -> Tensor:
    """The gradient `b n 3 h e` of packed heads, contiguous, from those of the turned ones."""
    from worldmodel_kernels.rope.triton_impl import turn_gradients

    return turn_gradients((queries, keys, values), cos, sin)


@turn.register_fake
def _(qkv: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, tokens, _, heads, width = qkv.shape
    queries, keys, values = (qkv.new_empty(batch, tokens, heads, width) for _ in range(3))
    return queries, keys, values


@gradient_of_qkv.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    batch, tokens, heads, width = queries.shape
    return queries.new_empty(batch, tokens, 3, heads, width)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
    _, cos, sin = inputs
    ctx.save_for_backward(cos, sin)


def _backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
    return gradient_of_qkv(*gradients, *ctx.saved_tensors), None, None


turn.register_autograd(_backward, setup_context=_save)
