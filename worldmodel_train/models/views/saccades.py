"""Patches around places that draw the eye, one after the other (arXiv 2505.03176).

None is seen twice while there are others, also where nothing draws the eye.

seq-JEPA takes its saliency from DeepGaze II, a network that is trained on where people look. This
one is computed: how much pixels differ from their neighbours, and from frame to frame.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.views.colours import as_it_is
from worldmodel_train.models.views.geometry import look_at
from worldmodel_train.protocols.views import View

_NEVER = 1e-12
"""Beside densities that sum to one: where nothing draws the eye, all free places are alike."""
_INHIBITED = 1e-30
"""Beside that; where all is inhibited, all places are alike."""


class Saccades(StrictConfig):
    """Fixations drawn by saliency, with inhibition of return; all frames are seen at one place."""

    name: Literal["saccades"]
    """The kind of views."""
    size: int = Field(gt=0)
    """Height and width of a patch in pixels."""
    motion: float = Field(default=0.5, ge=0, le=1)
    """Weight of motion against contrast; an image, which has no motion, is seen by contrast."""
    inhibition: float = Field(default=0.5, ge=0)
    """How far around a fixation none follows, as a share of a patch: within a square of so much
    to each side."""

    def draw_several(self, clips: UInt8[Tensor, "b t h w c"], number: int) -> Sequence[View]:
        """The patches of `number` fixations of each clip, from torch's global generator.

        Times are drawn on the CPU, and nothing waits for the device: after times that are
        exponential at the rates of their places, the first place is drawn by these rates.
        """
        density = self.density(clips)
        free = torch.ones_like(density)
        views = []
        for _ in range(number):
            times = torch.empty(density.shape).exponential_().to(clips.device, non_blocking=True)
            rates = (density + _NEVER) * free + _INHIBITED
            drawn = (rates / times).flatten(1).argmax(dim=1)
            row, column = drawn // density.shape[2], drawn % density.shape[2]
            free = free * ~self._around(row, column, density.shape[1:])
            views.append(self._seen(clips, row, column))
        return views

    def density(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b y x"]:
        """How likely each patch is to be fixated first, by its upper left pixel: its saliency."""
        with torch.autocast(clips.device.type, enabled=False):
            salience = avg_pool2d(saliency(clips, self.motion)[:, None], self.size, stride=1)[:, 0]
            return salience / salience.sum(dim=(1, 2), keepdim=True).clamp(min=_NEVER)

    def _around(
        self, row: Int[Tensor, "b"], column: Int[Tensor, "b"], shape: Sequence[int]
    ) -> Bool[Tensor, "b y x"]:
        """Where the next patch may not be."""
        reach = self.inhibition * self.size
        rows, columns = (torch.arange(length, device=row.device)[None] for length in shape)
        high = (rows - row[:, None]).abs() <= reach
        wide = (columns - column[:, None]).abs() <= reach
        return high[:, :, None] & wide[:, None]

    def _seen(
        self, clips: UInt8[Tensor, "b t h w c"], row: Int[Tensor, "b"], column: Int[Tensor, "b"]
    ) -> View:
        """Patches with these upper left pixels, and where their middles are."""
        height, width = clips.shape[2:4]
        x, y = (column + self.size / 2) / width, (row + self.size / 2) / height
        place = torch.zeros(len(clips), 6, device=clips.device)
        place[:, 0], place[:, 1] = 2 * x - 1, 2 * y - 1
        place[:, 2], place[:, 3] = self.size / width, self.size / height
        pixels = look_at(clips, place, (self.size, self.size))
        look = as_it_is(len(clips)).to(clips.device, non_blocking=True)
        return View(pixels=pixels, change=torch.cat((place, look), dim=1))


def saliency(clips: UInt8[Tensor, "b t h w c"], motion: float) -> Float[Tensor, "b h w"]:
    """The energy of differences in space, and in time with the weight `motion`; each sums to one.

    Without any difference, of either kind, that kind adds nothing.
    """
    grey = reduce(clips.float(), "b t h w c -> b t h w", "mean")
    down, right = torch.gradient(grey, dim=(2, 3))
    contrast = reduce(down.square() + right.square(), "b t h w -> b h w", "mean")
    if grey.shape[1] == 1:
        return _shares(contrast)
    moved = reduce(grey.diff(dim=1).square(), "b t h w -> b h w", "mean")
    return torch.lerp(_shares(contrast), _shares(moved), motion)


def _shares(energy: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    total = rearrange(energy, "b h w -> b (h w)").sum(dim=1)
    return energy / total.clamp(min=_NEVER)[:, None, None]
