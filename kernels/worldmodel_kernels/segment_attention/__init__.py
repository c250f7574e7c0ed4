"""Attention inside segments of one flat list of tokens, and of frames to past and present ones."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldmodel_kernels.dispatch import unsupported_dtype, use_triton
from worldmodel_kernels.segment_attention.op import attend
from worldmodel_kernels.segment_attention.reference import (
    frame_causal_attention_reference,
    ragged_attention_reference,
)

__all__ = ["frame_causal_attention", "ragged_attention"]

TRITON_HEAD_DIMS = (32, 64, 80)


def ragged_attention(
    q: Float[Tensor, "n h e"],
    k: Float[Tensor, "n h e"],
    v: Float[Tensor, "n h e"],
    starts: Int[Tensor, "s"],
    lengths: Int[Tensor, "s"],
    longest: int,
) -> Float[Tensor, "n h e"]:
    """What each token gathers from the tokens of its segment; zero for tokens in none.

    Segment `i` has `lengths[i]` tokens from `starts[i]`, and no segment has more than `longest`.
    They do not overlap. The softmax's scale is 1/sqrt(e); q, k and v may be views of one packed
    tensor. The same input gives the same bits, in gradients as well.

    Raises:
        ValueError: a segment that overlaps, or is not inside of the tokens, or has more than
            `longest`: where reading them would wait for the GPU, tokens of the latter two are NaN.
    """
    dtype = compute_dtype(q)
    if not torch.compiler.is_compiling() and starts.device.type == "cpu":
        check_segments(len(q), starts, lengths, longest)
    if not use_triton("ragged_attention", q.device, unsupported(dtype, q.shape[-1])):
        return ragged_attention_reference(q, k, v, starts, lengths, longest)
    q, k, v = (x.to(dtype) for x in (q, k, v))
    segments = starts.contiguous(), lengths.contiguous(), len(starts), longest
    return attend(q, k, v, *segments, frame=0)[0]


def frame_causal_attention(
    q: Float[Tensor, "b n h e"],
    k: Float[Tensor, "b n h e"],
    v: Float[Tensor, "b n h e"],
    frame_tokens: int,
) -> Float[Tensor, "b n h e"]:
    """What each token gathers from the tokens of its frame and of those before (V-JEPA 2-AC).

    Frames are `frame_tokens` tokens each. The softmax's scale is 1/sqrt(e); q, k and v may be
    views of one packed tensor. The same input gives the same bits, in gradients as well.

    Raises:
        ValueError: tokens are not whole frames.
    """
    batch, tokens, _, head_dim = q.shape
    if frame_tokens < 1 or tokens % frame_tokens:
        raise ValueError(f"{tokens} tokens are not whole frames of {frame_tokens} tokens")
    dtype = compute_dtype(q)
    if not use_triton("frame_causal_attention", q.device, unsupported(dtype, head_dim)):
        return frame_causal_attention_reference(q, k, v, frame_tokens)
    flat = (x.to(dtype).flatten(0, 1) for x in (q, k, v))
    out, _ = attend(*flat, None, None, batch, tokens, frame=frame_tokens)
    return out.unflatten(0, (batch, tokens))


def compute_dtype(q: Float[Tensor, "*b h e"]) -> torch.dtype:
    """The dtype of products: that of queries, or autocast's."""
    if torch.is_autocast_enabled(q.device.type):
        return torch.get_autocast_dtype(q.device.type)
    return q.dtype


def unsupported(dtype: torch.dtype, head_dim: int) -> str | None:
    """Why Triton cannot serve values of this dtype in heads of this size; None if it can."""
    if head_dim not in TRITON_HEAD_DIMS:
        return f"head dim {head_dim} is none of {', '.join(map(str, TRITON_HEAD_DIMS))}"
    return unsupported_dtype("values", dtype)


def check_segments(
    tokens: int, starts: Int[Tensor, "s"], lengths: Int[Tensor, "s"], longest: int
) -> None:
    """Refuse segments that are not stretches of the tokens, each apart from the others.

    Raises:
        ValueError: which tokens or how many a segment has.
    """
    end = 0
    for start, length in sorted(zip(starts.tolist(), lengths.tolist(), strict=True)):
        if length < 0 or length > longest:
            raise ValueError(f"a segment has {length} tokens; longest is {longest}")
        if length and (start < end or start + length > tokens):
            raise ValueError(
                f"a segment has tokens {start} to {start + length}; free are {end} to {tokens}"
            )
        end = start + length if length else end
