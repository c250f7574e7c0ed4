"""The Triton kernels as one operator of torch: for autograd, and opaque to torch.compile."""

from typing import Any

import torch
from torch import Tensor

from worldmodel_kernels.segment_attention.types import Segments


# The schema of an operator is flat.
@torch.library.custom_op("worldmodel_kernels::segment_attention", mutates_args=())
def attend(  # noqa: PLR0913
    q: Tensor,
    k: Tensor,
    v: Tensor,
    starts: Tensor | None,
    lengths: Tensor | None,
    count: int,
    longest: int,
    frame: int,
) -> tuple[Tensor, Tensor]:
    """Attention `n h e` inside segments, zero outside of them, and its log-sum-exp `h n`."""
    from worldmodel_kernels.segment_attention.triton_impl import forward

    q, k, v = (unit_stride(x) for x in (q, k, v))
    # equal segments leave no row out
    empty = torch.empty if starts is None else torch.zeros
    out = empty(q.shape, dtype=q.dtype, device=q.device)
    lse = empty(q.shape[1], q.shape[0], dtype=torch.float32, device=q.device)
    forward(q, k, v, out, lse, Segments(count, longest, frame, starts, lengths))
    return out, lse


@torch.library.custom_op("worldmodel_kernels::segment_attention_gradients", mutates_args=())
def gradients(  # noqa: PLR0913
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    gradient: Tensor,
    starts: Tensor | None,
    lengths: Tensor | None,
    count: int,
    longest: int,
    frame: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `q`, `k` and `v`, each `n h e`; zero outside of segments."""
    from worldmodel_kernels.segment_attention.triton_impl import backward

    q, k, v, gradient = (unit_stride(x) for x in (q, k, v, gradient))
    empty = torch.empty if starts is None else torch.zeros
    dq, dk, dv = (empty(q.shape, dtype=q.dtype, device=q.device) for _ in range(3))
    segments = Segments(count, longest, frame, starts, lengths)
    backward(q, k, v, out, lse, gradient, dq, dk, dv, segments)
    return dq, dk, dv


def unit_stride(tensor: Tensor) -> Tensor:
    """The tensor, or a copy where a head's channels are not neighbours in memory."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


@attend.register_fake
def _(q: Tensor, *_rest: Tensor | int | None) -> tuple[Tensor, Tensor]:
    n, h, _ = q.shape
    return q.new_empty(q.shape), q.new_empty(h, n, dtype=torch.float32)


@gradients.register_fake
def _(q: Tensor, *_rest: Tensor | int | None) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape), q.new_empty(q.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401
    q, k, v, starts, lengths, *ctx.sizes = inputs
    ctx.save_for_backward(q, k, v, *output, starts, lengths)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any,  # noqa: ANN401
    gradient: Tensor,
    _: None,
) -> tuple[Tensor | None, ...]:
    q, k, v, out, lse, starts, lengths = ctx.saved_tensors
    slopes = gradients(q, k, v, out, lse, gradient, starts, lengths, *ctx.sizes)
    return *slopes, None, None, None, None, None


attend.register_autograd(_backward, setup_context=_save)
