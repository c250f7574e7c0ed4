"""Parts of a clip, turned and mirrored: where a view looks."""

from math import log, pi

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from worldmodel_train.config import StrictConfig

PLACE = 6
"""Numbers that say where a view looks."""


class Crop(StrictConfig):
    """A random resized crop (Szegedy et al., 2015), mirrored and turned at random."""

    area: tuple[float, float] = (0.2, 1.0)
    """Least and most share of the picture that a view has."""
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Least and most width / height, relative to the clip's own; drawn evenly in the logarithm."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability to be mirrored left to right."""
    turn: float = Field(default=0.0, ge=0, le=180)
    """Degrees that a view is turned by at most, either way."""

    def draw(self, count: int) -> Float[Tensor, "b 6"]:
        """A place for each of `count` clips, from torch's global generator.

        Its middle (x, y, from -1 to 1), its width and height as shares of the picture's, 1 where it
        is mirrored, and the turn as a share of half a circle. The box lies within the picture; what
        a turned box has beyond the border is filled with the nearest pixels.
        """
        area = _between(self.area, count)
        aspect = _between((log(self.aspect[0]), log(self.aspect[1])), count).exp()
        width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        x, y = ((1 - side) * _between((-1.0, 1.0), count) for side in (width, height))
        flipped = (torch.rand(count) < self.flip).float()
        turn = _between((-self.turn / 180, self.turn / 180), count)
        return torch.stack((x, y, width, height, flipped, turn), dim=1)


def whole(count: int) -> Float[Tensor, "b 6"]:
    """The place of a view that sees all as it is."""
    return torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).repeat(count, 1)


def look_at(
    clips: UInt8[Tensor, "b t h w c"], places: Float[Tensor, "b 6"], size: tuple[int, int]
) -> UInt8[Tensor, "b t _ _ c"]:
    """What is seen at each place, `size` pixels high and wide, the same place in all frames.

    In fp32, bilinear; who makes pictures much smaller than the place is sees some pixels only.
    """
    with torch.autocast(clips.device.type, enabled=False):
        frames, height, width = clips.shape[1:4]
        x, y, wide, high, flipped, turn = (
            places.to(clips.device, non_blocking=True).float().unbind(dim=1)
        )
        cos, sin = (turn * pi).cos(), (turn * pi).sin()
        mirror, ratio = 1 - 2 * flipped, height / width
        # grid_sample wants where output pixels lie in the input, both from -1 to 1
        rows = (
            torch.stack((mirror * wide * cos, -high * sin * ratio, x), dim=1),
            torch.stack((mirror * wide * sin / ratio, high * cos, y), dim=1),
        )
        grid = functional.affine_grid(
            torch.stack(rows, dim=1), [len(clips), 1, *size], align_corners=False
        )
        flat = rearrange(clips, "b t h w c -> b (t c) h w").float()
        seen = functional.grid_sample(
            flat, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        seen = rearrange(seen.round().clamp(0, 255), "b (t c) h w -> b t h w c", t=frames)
        return seen.to(torch.uint8)


def _between(ends: tuple[float, float], count: int) -> Float[Tensor, "b"]:
    low, high = ends
    return low + (high - low) * torch.rand(count)
