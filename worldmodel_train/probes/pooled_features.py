"""Feature vectors of clips: the baseline from pixels, and latents averaged over tokens."""

from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_avg_pool3d

from worldmodel_train.types import TokenGrid


def pooled_pixels(clips: UInt8[Tensor, "b t h w c"], size: int = 8) -> Float[Tensor, "b f"]:
    """Every frame averaged down to size x size pixels, flattened: the features to beat."""
    frames = rearrange(clips, "b t h w c -> (b t) c h w").float() / 255
    small = adaptive_avg_pool2d(frames, size)
    return rearrange(small, "(b t) c h w -> b (t h w c)", b=len(clips))


def pooled_latents(
    latents: Float[Tensor, "b n d"], grid: TokenGrid, cells: tuple[int, int, int] = (2, 2, 2)
) -> Float[Tensor, "b f"]:
    """Latents averaged in each of `cells` (time, height, width), flattened."""
    volume = rearrange(
        latents, "b (t h w) d -> b d t h w", t=grid.frames, h=grid.height, w=grid.width
    )
    return rearrange(adaptive_avg_pool3d(volume, cells), "b d t h w -> b (t h w d)")
