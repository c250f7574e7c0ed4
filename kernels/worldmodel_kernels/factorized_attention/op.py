"""The Triton kernels as operators of torch: for autograd, and opaque to torch.compile."""

from typing import Any

import torch
from torch import Tensor

from worldmodel_kernels.segment_attention.op import unit_stride
from worldmodel_kernels.segment_attention.types import Segments


@torch.library.custom_op("worldmodel_kernels::space_attention", mutates_args=())
def attend_over_space(qkv: Tensor) -> tuple[Tensor, Tensor]:
    """What each token gathers from its frame, `b t s h e`, and its log-sum-exp `h (b t s)`."""
    from worldmodel_kernels.segment_attention.triton_impl import forward

    batch, frames, places, _, heads, head_dim = qkv.shape
    out = qkv.new_empty(batch, frames, places, heads, head_dim)
    lse = qkv.new_empty(heads, batch * frames * places, dtype=torch.float32)
    queries, keys, values = rows(unit_stride(qkv)).unbind(1)
    forward(queries, keys, values, rows(out), lse, frames_of(qkv))
    return out, lse


@torch.library.custom_op("worldmodel_kernels::space_attention_gradient", mutates_args=())
def space_gradients(qkv: Tensor, out: Tensor, lse: Tensor, gradient: Tensor) -> Tensor:
    """The gradient `b t s 3 h e` of `qkv`, contiguous, from that of the result."""
    from worldmodel_kernels.segment_attention.triton_impl import backward

    packed = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    queries, keys, values = rows(unit_stride(qkv)).unbind(1)
    dq, dk, dv = rows(packed).unbind(1)
    gradient = rows(unit_stride(gradient))
    backward(queries, keys, values, rows(out), lse, gradient, dq, dk, dv, frames_of(qkv))
    return packed


def rows(tensor: Tensor) -> Tensor:
    """Tokens in one list: a view, or a copy where they lie in no even distances."""
    return tensor.flatten(0, 2)


def frames_of(qkv: Tensor) -> Segments:
    """The rows of each frame."""
    batch, frames, places = qkv.shape[:3]
    return Segments(batch * frames, places)


@torch.library.custom_op("worldmodel_kernels::time_attention", mutates_args=())
def attend_over_time(qkv: Tensor, causal: bool) -> Tensor:  # noqa: FBT001
    """What each token gathers from its place, `b t s h e`, contiguous."""
    from worldmodel_kernels.factorized_attention import triton_impl

    return triton_impl.attend_over_time(unit_stride(qkv), causal=causal)


@torch.library.custom_op("worldmodel_kernels::time_attention_gradient", mutates_args=())
def time_gradients(qkv: Tensor, gradient: Tensor, causal: bool) -> Tensor:  # noqa: FBT001
    """The gradient `b t s 3 h e` of `qkv`, contiguous, from that of the result."""
    from worldmodel_kernels.factorized_attention import triton_impl

    return triton_impl.time_gradients(unit_stride(qkv), gradient, causal=causal)


@attend_over_space.register_fake
def _(qkv: Tensor) -> tuple[Tensor, Tensor]:
    batch, frames, places, _, heads, head_dim = qkv.shape
    lse = qkv.new_empty(heads, batch * frames * places, dtype=torch.float32)
    return qkv.new_empty(batch, frames, places, heads, head_dim), lse


@space_gradients.register_fake
def _(qkv: Tensor, out: Tensor, lse: Tensor, gradient: Tensor) -> Tensor:
    return qkv.new_empty(qkv.shape)


@attend_over_time.register_fake
def _(qkv: Tensor, causal: bool) -> Tensor:  # noqa: FBT001
    batch, frames, places, _, heads, head_dim = qkv.shape
    return qkv.new_empty(batch, frames, places, heads, head_dim)


@time_gradients.register_fake
def _(qkv: Tensor, gradient: Tensor, causal: bool) -> Tensor:  # noqa: FBT001
    return qkv.new_empty(qkv.shape)


def _save_space(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward_space(ctx: Any, gradient: Tensor, _: None) -> Tensor:  # noqa: ANN401
    return space_gradients(*ctx.saved_tensors, gradient)


def _save_time(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:  # noqa: ANN401
    qkv, ctx.causal = inputs
    ctx.save_for_backward(qkv)


def _backward_time(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
    return time_gradients(*ctx.saved_tensors, gradient, ctx.causal), None


attend_over_space.register_autograd(_backward_space, setup_context=_save_space)
attend_over_time.register_autograd(_backward_time, setup_context=_save_time)
