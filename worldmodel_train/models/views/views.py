"""Views of clips, and the numbers that say how one differs from the clip, and from another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.views.colours import LOOK, Jitter, change_look
from worldmodel_train.models.views.geometry import PLACE, Crop, look_at
from worldmodel_train.protocols.views import View

CHANGE = PLACE + LOOK
"""Numbers that say what a view is of its clip: where it looks, then how it looks."""


class ViewConfig(StrictConfig):
    """How views are drawn; all frames of a clip are changed alike, so nothing seems to move."""

    crop: Crop = Crop()
    """Where a view looks."""
    jitter: Jitter = Jitter()
    """How it looks."""
    size: int | None = Field(default=None, gt=0)
    """Height and width of a view in pixels; null for those of the clip."""

    def draw(self, clips: UInt8[Tensor, "b t h w c"]) -> View:
        """A view of each clip, drawn from torch's global generator."""
        count = len(clips)
        change = torch.cat((self.crop.draw(count), self.jitter.draw(count)), dim=1)
        return self.made(clips, change)

    def draw_several(self, clips: UInt8[Tensor, "b t h w c"], number: int) -> Sequence[View]:
        """So many views of each clip, drawn one by one without regard to each other."""
        return [self.draw(clips) for _ in range(number)]

    def made(self, clips: UInt8[Tensor, "b t h w c"], change: Float[Tensor, "b 13"]) -> View:
        """The views that differ from the clips by this."""
        height, width = clips.shape[2:4]
        size = (height, width) if self.size is None else (self.size, self.size)
        seen = look_at(clips, change[:, :PLACE], size)
        pixels = change_look(seen, change[:, PLACE:])
        return View(pixels=pixels, change=change.to(clips.device, non_blocking=True))
