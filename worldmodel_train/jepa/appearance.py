"""Other colours and another light for a clip, in which everything moves as before."""

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from worldmodel_train.config import StrictConfig

_CELLS = (2, 6)  # of the field of light, a side: fewest and most


class AppearanceJitter(StrictConfig):
    """How much views may differ in what is neither shape nor place nor motion.

    The same for all frames of a clip, so nothing seems to move that does not. Without it views are
    matched by their backgrounds, which is easy and teaches nothing of what moves before them.
    """

    contrast: float = Field(default=0.4, ge=0, lt=1)
    """Each channel's distance from its mean is scaled by 1 - contrast to 1 + contrast."""
    brightness: float = Field(default=30.0, ge=0)
    """Grey levels that each channel is moved by, at most."""
    light: float = Field(default=20.0, ge=0)
    """Standard deviation in grey levels of a smooth random field that is added: once alike to all
    channels, once to each its own."""

    def draw(self, clips: UInt8[Tensor, "b t h w c"]) -> UInt8[Tensor, "b t h w c"]:
        """The clips with channels in a random order, and all of the above, each clip its own."""
        clip, device = (len(clips), 1, 1, 1, clips.shape[-1]), clips.device
        order = torch.rand(clip, device=device).argsort(dim=-1)
        pixels = clips.float().gather(-1, order.expand_as(clips))
        mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
        scale = 1 + self.contrast * (2 * torch.rand(clip, device=device) - 1)
        shift = self.brightness * (2 * torch.rand(clip, device=device) - 1)
        light = self.light * _smooth_fields(clips)
        return ((pixels - mean) * scale + mean + shift + light).clamp(0, 255).to(torch.uint8)


def _smooth_fields(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b 1 h w c"]:
    """Random fields, still over time; how fine they are is drawn once for all clips."""
    cells = int(torch.randint(_CELLS[0], _CELLS[1] + 1, ()))
    coarse = (len(clips), clips.shape[-1], cells, cells)
    grey = torch.randn(coarse[0], 1, cells, cells, device=clips.device)
    field = grey + torch.randn(coarse, device=clips.device)
    fine = interpolate(field, size=clips.shape[2:4], mode="bilinear", align_corners=True)
    return fine.permute(0, 2, 3, 1)[:, None]
