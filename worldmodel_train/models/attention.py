"""Attention: the one function that calls a kernel, and the module around it."""

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worldmodel_kernels.rope import rope
from worldmodel_train.models.attention_backends import attend, choose_backend
from worldmodel_train.models.linear import Linear
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
        parts = self.qkv(tokens).split([group.rows * group.tokens for group in groups])
        gathered = [self._gather(*pair) for pair in zip(parts, groups, strict=True)]
        return self.proj(lay_flat(gathered))

    def _gather(
        self, qkv: Float[Tensor, "n dqkv"], group: AttentionGroup
    ) -> Float[Tensor, "rows tokens d"]:
        qkv = rearrange(qkv, "(b n) (x h e) -> b n x h e", n=group.tokens, x=3, h=self.heads)
        parts = qkv.unbind(2) if group.rotation is None else rope(qkv, *group.rotation)
        queries, keys, values = (part.transpose(1, 2) for part in parts)
        gathered = attention(queries, keys, values, group.valid, one_length=group.one_length)
        return rearrange(gathered, "b h n e -> b n (h e)")
