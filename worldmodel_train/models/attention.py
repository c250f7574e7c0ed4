"""Attention: the one function that calls a kernel, and the module around it."""

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.models.rope import Rotation, rotate


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
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "b n d"],
        rotation: Rotation | None,
        valid: Bool[Tensor, "b n"] | None,
    ) -> Float[Tensor, "b n d"]:
        """What each token gathers from the valid ones."""
        qkv = rearrange(self.qkv(tokens), "b n (x h e) -> x b h n e", x=3, h=self.heads)
        queries, keys, values = qkv.unbind()
        if rotation is not None:
            queries, keys = rotate(queries, rotation), rotate(keys, rotation)
        gathered = attention(queries, keys, values, valid)
        return self.proj(rearrange(gathered, "b h n e -> b n (h e)"))
