"""The definition of the op: each channel, and some of its partner."""

import torch
from jaxtyping import Float
from torch import Tensor


def rope_reference(
    qkv: Float[Tensor, "b n 3 h e"], cos: Float[Tensor, "#b n e"], sin: Float[Tensor, "#b n e"]
) -> tuple[Float[Tensor, "b n h e"], Float[Tensor, "b n h e"], Float[Tensor, "b n h e"]]:
    """Queries and keys, turned, and the values as they are, a view."""
    queries, keys, values = qkv.unbind(2)
    cos, sin = cos[:, :, None], sin[:, :, None]
    return rotate(queries, cos, sin), rotate(keys, cos, sin), values


def rotate(
    heads: Float[Tensor, "b n h e"], cos: Float[Tensor, "#b n 1 e"], sin: Float[Tensor, "#b n 1 e"]
) -> Float[Tensor, "b n h e"]:
    """The heads, turned; computed in the tables' precision, returned in their own."""
    first, second = heads.unflatten(-1, (-1, 2)).unbind(-1)
    partners = torch.stack((second, first), dim=-1).flatten(-2)
    return torch.addcmul(heads * cos, partners, sin).to(heads.dtype)


def turn_back(
    gradient: Float[Tensor, "b n h e"],
    tables: tuple[Float[Tensor, "#b n e"], Float[Tensor, "#b n e"]] | None,
    result: Float[Tensor, "b n h e"],
) -> None:
    """Writes the gradient of heads into `result` from that of the turned ones; None copies."""
    if tables is None:
        result.copy_(gradient)
        return
    cos, sin = (table[:, :, None] for table in tables)
    first, second = (gradient * sin).unflatten(-1, (-1, 2)).unbind(-1)
    partners = torch.stack((second, first), dim=-1).flatten(-2)
    result.copy_((gradient * cos).add_(partners))
