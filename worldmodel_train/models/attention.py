"""Attention: the one function that calls a kernel, and the module around it."""

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_kernels.rope import rope
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.token_sets import AttentionGroup, lay_flat


def attention(
    queries: Float[Tensor, "b h q e"],
    keys: Float[Tensor, "b h k e"],
    values: Float[Tensor, "b h k e"],
    valid: Bool[Tensor, "b k"] | None = None,
) -> Float[Tensor, "b h q e"]:
    """Softmax attention scaled by 1/sqrt(e); keys that are not valid are seen by nobody.

    Without `valid` PyTorch picks a flash kernel where one serves; a mask rules flash out.
    """
    mask = None if valid is None else valid[:, None, None, :]
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


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
        gathered = attention(queries, keys, values, group.valid)
        return rearrange(gathered, "b h n e -> b n (h e)")
