"""Rotary positions on packed queries, keys and values, in one pass over memory."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldmodel_kernels.dispatch import unsupported_dtype, use_triton
from worldmodel_kernels.rope.op import turn_groups
from worldmodel_kernels.rope.packed import Heads, split_packed

__all__ = ["rope", "rope_groups"]

WIDEST_HEAD = 256  # channels that Triton holds in registers


def rope(
    qkv: Float[Tensor, "b n 3 h e"], cos: Float[Tensor, "#b n e"], sin: Float[Tensor, "#b n e"]
) -> tuple[Float[Tensor, "b n h e"], Float[Tensor, "b n h e"], Float[Tensor, "b n h e"]]:
    """Queries and keys turned, values as they are, in the dtype of `qkv`, which gets a gradient.

    Channels 2i and 2i+1 of a head are partners; both tables have a number for each channel:

        out[2i] = x[2i] * cos[2i] + x[2i+1] * sin[2i]
        out[2i+1] = x[2i+1] * cos[2i+1] + x[2i] * sin[2i+1]

    So a rotation has a negative sine in the first channel of a pair. Nothing asks the two channels
    for the same angle (released V-JEPA 2 weights want two). The sums are fp32. The tables get no
    gradient. Triton copies the values, so that nothing keeps `qkv`; the reference returns a view.

    Raises:
        ValueError: heads of an odd width.
    """
    rows, tokens = qkv.shape[:2]
    (heads,) = rope_groups(qkv.flatten(0, 1), [(rows, tokens)], [(cos, sin)])
    return heads


def rope_groups(
    qkv: Float[Tensor, "n 3 h e"],
    shapes: Sequence[tuple[int, int]],
    tables: Sequence[tuple[Float[Tensor, "_ _ e"], Float[Tensor, "_ _ e"]]] | None,
) -> list[Heads]:
    """`rope` of several groups that lie one after the other: `rows tokens h e` of each.

    Group i has `shapes[i]` = rows and tokens; without `tables` (cosines and sines of each group)
    nothing is turned. The gradient is one packed tensor, into which each group's part is written
    directly: taken apart by `split` and `unbind`, it would be copied twice more.

    Raises:
        ValueError: heads of an odd width.
    """
    if tables is None:
        return split_packed(qkv, shapes, None)
    if qkv.shape[-1] % 2:
        raise ValueError(
            f"heads are {qkv.shape[-1]} channels wide; rope needs pairs: an even width"
        )
    cosines, sines = [cos.detach() for cos, _ in tables], [sin.detach() for _, sin in tables]
    if not use_triton("rope", qkv.device, unsupported(qkv)):
        return split_packed(qkv, shapes, (cosines, sines))
    turned = iter(turn_groups(qkv, [rows for rows, _ in shapes], cosines, sines))
    return list(zip(turned, turned, turned, strict=True))


def unsupported(qkv: Float[Tensor, "*n 3 h e"]) -> str | None:
    """Why Triton cannot serve these heads; None if it can."""
    if qkv.shape[-1] > WIDEST_HEAD:
        return f"heads are {qkv.shape[-1]} channels wide, more than {WIDEST_HEAD}"
    return unsupported_dtype("heads", qkv.dtype)
