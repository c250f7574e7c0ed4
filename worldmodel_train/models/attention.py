"""Attention: the one function that calls a kernel, and the module around it."""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worldmodel_kernels.rope import rope_groups
from worldmodel_kernels.segment_attention import frame_causal_attention
from worldmodel_train.models.attention_backends import attend, choose_backend
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.rope import Rotation
from worldmodel_train.models.token_sets import AttentionGroup, lay_flat


def attention(
    queries: Float[Tensor, "b h q e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k e"],
    valid: Bool[Tensor, "b k"] | None = None,
    *,
    one_length: bool = False,
) -> Float[Tensor, "b h q e"]:
    """Softmax attention scaled by 1/sqrt(e); keys that are not valid are seen by nobody.

    `one_length` promises that these are the lengths in every step: see `attention_backends`.
    """
    backend = choose_backend(
        queries.device,
        queries.dtype,
        queries.shape[-1],
        padded=valid is not None,
        one_length=one_length,
    )
    return attend(backend, queries, keys, values, valid)


class SelfAttention(nn.Module):
    """Multi-head self-attention with queries, keys and values in one matrix, with bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "n d"], groups: Sequence[AttentionGroup]
    ) -> Float[Tensor, "n d"]:
        """What each token gathers from the valid ones of its sequence."""
        heads = self._heads(tokens, groups)
        return self.proj(lay_flat([_gather(*pair) for pair in zip(heads, groups, strict=True)]))

    def entropy(
        self, tokens: Float[Tensor, "n d"], group: AttentionGroup, *, queries: int
    ) -> Float[Tensor, ""]:
        """Mean entropy of where tokens look, from 0, at one token, to 1, at all alike.

        Of at most `queries` tokens of each sequence, spread evenly, by every head. All tokens of
        the one group count.
        """
        assert group.valid is None, "padding would count as well"
        assert group.frame_tokens is None, "later frames would count as well"
        (heads,) = self._heads(tokens, [group])
        asking, keys, _ = (part.transpose(1, 2).float() for part in heads)
        few = min(queries, group.tokens)
        places = torch.arange(few, device=tokens.device) * group.tokens // few
        with torch.autocast(tokens.device.type, enabled=False):  # else products are of bf16
            scores = asking[:, :, places] @ keys.transpose(2, 3) / math.sqrt(keys.shape[-1])
            entropies = torch.special.entr(scores.softmax(dim=-1)).sum(dim=-1)
            return entropies.mean() / math.log(max(group.tokens, 2))

    def _heads(
        self, tokens: Float[Tensor, "n d"], groups: Sequence[AttentionGroup]
    ) -> Sequence[Sequence[Float[Tensor, "rows tokens h e"]]]:
        """Queries, keys and values of each group, turned to their places."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))
        shapes = [(group.rows, group.tokens) for group in groups]
        return rope_groups(qkv, shapes, _tables(groups))


def _tables(groups: Sequence[AttentionGroup]) -> list[Rotation] | None:
    """The rotation of each group; None where positions do not act inside attention."""
    rotations = [group.rotation for group in groups if group.rotation is not None]
    assert len(rotations) in (0, len(groups)), "groups of a network are told their places alike"
    return rotations or None


def _gather(
    heads: Sequence[Float[Tensor, "rows tokens h e"]], group: AttentionGroup
) -> Float[Tensor, "rows tokens d"]:
    queries, keys, values = heads
    if group.frame_tokens is not None:
        return frame_causal_attention(queries, keys, values, group.frame_tokens).flatten(2)
    queries, keys, values = (part.transpose(1, 2) for part in heads)
    gathered = attention(queries, keys, values, group.valid, one_length=group.one_length)
    return rearrange(gathered, "b h n e -> b n (h e)")
