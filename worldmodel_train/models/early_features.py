"""What the first blocks of an encoder make of pixels that may still change: a perceptual space."""

from itertools import islice

from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from worldmodel_train.models.blocks import begin_stream
from worldmodel_train.models.tubelet_embed import CHANNELS
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.types import TokenGrid


def early_features(
    encoder: VisionTransformer,
    tubelets: Float[Tensor, "b k p"],
    index: Int[Tensor, "#b k"],
    grid: TokenGrid,
    *,
    depth: int,
) -> Float[Tensor, "b k d"]:
    """Tokens after the first `depth` blocks, each with mean 0 and std 1, in fp32.

    The encoder itself takes bytes; this takes tubelets as `cut_tubelets` gives them, and their
    gradient goes through.
    """
    embed = encoder.patch_embed.proj
    pixels = rearrange(tubelets.float(), "b k (c p) -> b k c p", c=CHANNELS)
    pixels = (pixels - embed.mean[:, None]) / embed.std[:, None]
    tokens = functional.linear(pixels.flatten(2), embed.weight, embed.bias)
    tokens = encoder.places.add(begin_stream(tokens, encoder.stream), index, grid)
    group = encoder.places.group(index, None, grid, len(tubelets))
    flat = tokens.flatten(0, 1)
    for block in islice(encoder.blocks, depth):
        flat = block(flat, [group])
    flat = functional.layer_norm(flat.float(), flat.shape[-1:])
    return flat.unflatten(0, tokens.shape[:2])
