"""The definitions of the ops: one axis becomes a batch, and PyTorch attends over the other."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def space_attention_reference(qkv: Float[Tensor, "b t s 3 h e"]) -> Float[Tensor, "b t s h e"]:
    """Attention of each frame's tokens to each other."""
    queries, keys, values = rearrange(qkv, "b t s x h e -> x (b t) h s e").unbind()
    gathered = scaled_dot_product_attention(queries, keys, values)
    return rearrange(gathered, "(b t) h s e -> b t s h e", b=len(qkv)).contiguous()


def time_attention_reference(
    qkv: Float[Tensor, "b t s 3 h e"], *, causal: bool
) -> Float[Tensor, "b t s h e"]:
    """Attention of each place's tokens to each other, or to the present and past ones."""
    queries, keys, values = rearrange(qkv, "b t s x h e -> x (b s) h t e").unbind()
    gathered = scaled_dot_product_attention(queries, keys, values, is_causal=causal)
    return rearrange(gathered, "(b s) h t e -> b t s h e", b=len(qkv)).contiguous()
