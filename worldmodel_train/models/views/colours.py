"""Clips in another light, other colours and out of focus: how a view looks.

The changes are those of SimCLR and BYOL (arXiv 2002.05709, 2006.07733) but for their order, which
is always the one below, and hue, which is turned about the grey axis of YIQ instead of in HSV.
"""

from math import ceil, pi

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from worldmodel_train.config import StrictConfig

LOOK = 7
"""Numbers of a look: brightness, contrast, saturation, hue, grey, sigma of the blur, solarized."""
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_SIGMA, _SHARP_HEIGHT = 5, 224
_MIDDLE = 127.5  # solarizing turns over what is brighter


class Jitter(StrictConfig):
    """How far looks are drawn apart; each is the same for all frames of a clip."""

    probability: float = Field(default=0.8, ge=0, le=1)
    """Of a clip to have its brightness, contrast, saturation and hue changed."""
    brightness: float = Field(default=0.4, ge=0, lt=1)
    """Pixels are scaled by 1 - brightness to 1 + brightness."""
    contrast: float = Field(default=0.4, ge=0, lt=1)
    """The same of their distance from the clip's mean grey."""
    saturation: float = Field(default=0.2, ge=0, le=1)
    """The same of their distance from their own grey."""
    hue: float = Field(default=0.1, ge=0, le=0.5)
    """Colours are turned by up to so much of a circle, either way."""
    grey: float = Field(default=0.2, ge=0, le=1)
    """Probability to lose all colour."""
    blur: float = Field(default=0.5, ge=0, le=1)
    """Probability to be blurred."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Least and most standard deviation of the blur, in pixels of a picture 224 high."""
    solarize: float = Field(default=0.0, ge=0, le=1)
    """Probability that bright pixels are turned over."""

    def draw(self, count: int) -> Float[Tensor, "b 7"]:
        """A look for each of `count` clips, from torch's global generator.

        Three factors and the turn of the hue, 1 where colour is lost, sigma of the blur (0 for
        none), 1 where solarized.
        """
        even = 2 * torch.rand(count, 4) - 1
        changed = (torch.rand(count, 1) < self.probability).float()
        ranges = torch.tensor((self.brightness, self.contrast, self.saturation, self.hue))
        factors = torch.tensor((1.0, 1.0, 1.0, 0.0)) + changed * even * ranges
        coins = torch.rand(count, 3) < torch.tensor((self.grey, self.blur, self.solarize))
        low, high = self.blur_sigma
        sigma = low + (high - low) * torch.rand(count)
        grey, blurred, solarized = coins.float().unbind(dim=1)
        return torch.cat((factors, torch.stack((grey, blurred * sigma, solarized), dim=1)), dim=1)


def as_it_is(count: int) -> Float[Tensor, "b 7"]:
    """The look that changes nothing."""
    return torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]).repeat(count, 1)


def change_look(
    clips: UInt8[Tensor, "b t h w c"], looks: Float[Tensor, "b 7"]
) -> UInt8[Tensor, "b t h w c"]:
    """The clips as they look then: light, contrast, colours, blur, and then solarized.

    How far blur reaches is read from `looks`, so they are best on the CPU.
    """
    with torch.autocast(clips.device.type, enabled=False):
        return _changed(clips, looks)


def _changed(
    clips: UInt8[Tensor, "b t h w c"], looks: Float[Tensor, "b 7"]
) -> UInt8[Tensor, "b t h w c"]:
    """The same in fp32."""
    radius = ceil(3 * float(looks[:, _SIGMA].max()) * clips.shape[2] / _SHARP_HEIGHT)
    looks = looks.to(clips.device, non_blocking=True).float()
    brightness, contrast, saturation, hue, grey, sigma, solarized = (
        number[:, None, None, None, None] for number in looks.unbind(dim=1)
    )
    pixels = clips.float() * brightness
    level = _grey(pixels).mean(dim=(1, 2, 3, 4), keepdim=True)
    pixels = ((pixels - level) * contrast + level).clamp(0, 255)
    pixels = torch.lerp(_grey(pixels), pixels, saturation * (1 - grey))
    pixels = _turned(pixels, hue.flatten()).clamp(0, 255)
    pixels = _blurred(pixels, sigma.flatten() * clips.shape[2] / _SHARP_HEIGHT, radius)
    bright = (solarized > 0) & (pixels >= _MIDDLE)
    return torch.where(bright, 255 - pixels, pixels).round().to(torch.uint8)


def _grey(pixels: Float[Tensor, "b t h w 3"]) -> Float[Tensor, "b t h w 1"]:
    """What is left of pixels without colour."""
    return pixels @ pixels.new_tensor(_TO_YIQ[0])[:, None]


def _turned(
    pixels: Float[Tensor, "b t h w 3"], turns: Float[Tensor, " b"]
) -> Float[Tensor, "b t h w 3"]:
    """Colours turned about the axis of greys, by shares of a circle."""
    to_yiq = pixels.new_tensor(_TO_YIQ)
    cos, sin = (2 * pi * turns).cos(), (2 * pi * turns).sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    turn = torch.stack((one, zero, zero, zero, cos, -sin, zero, sin, cos), dim=1).view(-1, 3, 3)
    colours = to_yiq.inverse() @ turn @ to_yiq
    return torch.einsum("b t h w c, b d c -> b t h w d", pixels, colours)


def _blurred(
    pixels: Float[Tensor, "b t h w c"], sigma: Float[Tensor, " b"], radius: int
) -> Float[Tensor, "b t h w c"]:
    """Each clip under a Gaussian of its own, cut off at a radius; none where sigma is 0."""
    if radius == 0:
        return pixels
    offsets = torch.arange(-radius, radius + 1, device=pixels.device)
    # a sigma of 0 leaves the weight of the middle alone
    weights = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2).clamp(min=1e-6))
    weights = weights / weights.sum(dim=1, keepdim=True)
    batch, frames = pixels.shape[:2]
    flat = rearrange(pixels, "b t h w c -> (t c) b h w")
    for kernel, padding in (
        (weights[:, None, :, None], (0, 0, radius, radius)),
        (weights[:, None, None], (radius, radius, 0, 0)),
    ):
        padded = functional.pad(flat, padding, mode="replicate")
        flat = functional.conv2d(padded, kernel, groups=batch)
    return rearrange(flat, "(t c) b h w -> b t h w c", t=frames)
