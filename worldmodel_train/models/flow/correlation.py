"""How alike a place of one picture is to the places around it in another."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def local_correlation(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], reach: int
) -> Float[Tensor, "b _ h w"]:
    """The mean product over channels with each place of `second` up to `reach` away, in fp32.

    The (2 reach + 1)² offsets are row by row; beyond the border all is zero. PWC-Net's cost volume
    (arXiv 1709.02371).
    """
    channels, height, _ = first.shape[1:]
    with torch.autocast(first.device.type, enabled=False):
        rows = rearrange(first.float(), "b c h w -> b h w c")
        padded = functional.pad(second.float(), (reach,) * 4)
        around = rearrange(padded, "b c h w -> b h c w")
        # whole rows by matrices, of which a band is wanted: a third of the time of one product of
        # pictures for each offset
        bands = [
            _band(rows @ around[:, down : down + height], 2 * reach + 1)
            for down in range(2 * reach + 1)
        ]
        return rearrange(torch.stack(bands), "y b h w x -> b (y x) h w") / channels


def _band(products: Float[Tensor, "b h w v"], width: int) -> Float[Tensor, "b h w x"]:
    """Of row i the entries from i on, `width` of them."""
    rows, columns = products.shape[2:]
    # with one more column each row begins one entry further to the left
    flat = functional.pad(products.flatten(2), (0, rows))
    return flat.unflatten(2, (rows, columns + 1))[..., :width]
