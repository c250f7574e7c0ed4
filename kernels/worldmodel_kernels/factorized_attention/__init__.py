"""Attention over the places of a frame, and over the frames of a place, from packed `qkv`."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_kernels.dispatch import use_triton
from worldmodel_kernels.factorized_attention.op import attend_over_space, attend_over_time
from worldmodel_kernels.factorized_attention.reference import (
    space_attention_reference,
    time_attention_reference,
)
from worldmodel_kernels.segment_attention import compute_dtype, unsupported

__all__ = ["space_attention", "time_attention"]

# that Triton holds in one tile
MOST_FRAMES = {torch.bfloat16: 64, torch.float16: 64, torch.float32: 32}


def space_attention(qkv: Float[Tensor, "b t s 3 h e"]) -> Float[Tensor, "b t s h e"]:
    """What each token gathers from the tokens of its frame, in the dtype of `qkv`, or autocast's.

    The softmax's scale is 1/sqrt(e). The gradient is packed as `qkv` is, and neither is ever
    copied or transposed in memory, unless the tokens of `qkv` lie in no even distances. The same
    input gives the same bits, in the gradient as well.
    """
    dtype = compute_dtype(qkv)
    if not use_triton("space_attention", qkv.device, unsupported(dtype, qkv.shape[-1])):
        return space_attention_reference(qkv)
    return attend_over_space(qkv.to(dtype))[0]


def time_attention(
    qkv: Float[Tensor, "b t s 3 h e"], *, causal: bool
) -> Float[Tensor, "b t s h e"]:
    """What each token gathers from the tokens of its place, or from itself and past ones.

    In the dtype of `qkv`, or autocast's; the softmax's scale is 1/sqrt(e). Nothing but `qkv` is
    saved. The gradient is packed as `qkv` is, and neither is copied or transposed in memory. The
    same input gives the same bits, in the gradient as well.
    """
    dtype = compute_dtype(qkv)
    obstacle = unsupported(dtype, qkv.shape[-1]) or too_long(dtype, qkv.shape[1])
    if not use_triton("time_attention", qkv.device, obstacle):
        return time_attention_reference(qkv, causal=causal)
    return attend_over_time(qkv.to(dtype), causal)


def too_long(dtype: torch.dtype, frames: int) -> str | None:
    """Why a tile of Triton's cannot hold the frames of a place; None if it can."""
    most = MOST_FRAMES[dtype]
    return f"{frames} frames are more than the {most} of {dtype}" if frames > most else None
