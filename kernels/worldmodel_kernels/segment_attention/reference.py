"""The definitions of the ops, and what runs where Triton does not: PyTorch's own attention."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def ragged_attention_reference(
    q: Float[Tensor, "n h e"],
    k: Float[Tensor, "n h e"],
    v: Float[Tensor, "n h e"],
    starts: Int[Tensor, "s"],
    lengths: Int[Tensor, "s"],
    longest: int,
) -> Float[Tensor, "n h e"]:
    """Segments are padded to the longest; attention of each, whose padding nobody sees."""
    place = torch.arange(longest, device=q.device)
    real = place < lengths[:, None]
    row = torch.where(real, starts[:, None] + place, 0)
    # an empty segment's first token sees itself: a softmax over nothing has no gradient
    seen = (real | (place == 0))[:, None, None]
    q_s, k_s, v_s = (x[row].transpose(1, 2) for x in (q, k, v))  # s h longest e
    out = scaled_dot_product_attention(q_s, k_s, v_s, attn_mask=seen).transpose(1, 2)
    # padding is written to a row of its own, past the last
    row = torch.where(real, row, len(q)).flatten()
    return out.new_zeros(len(q) + 1, *q.shape[1:]).index_copy(0, row, out.flatten(0, 1))[:-1]


def frame_causal_attention_reference(
    q: Float[Tensor, "b n h e"],
    k: Float[Tensor, "b n h e"],
    v: Float[Tensor, "b n h e"],
    frame_tokens: int,
) -> Float[Tensor, "b n h e"]:
    """Attention of each frame's queries to all keys up to the frame's end, frame after frame."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # b h n e
    frames = [
        scaled_dot_product_attention(
            q[:, :, end - frame_tokens : end], k[:, :, :end], v[:, :, :end]
        )
        for end in range(frame_tokens, q.shape[2] + 1, frame_tokens)
    ]
    return torch.cat(frames, dim=2).transpose(1, 2).contiguous()
