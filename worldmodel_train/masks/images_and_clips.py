"""Masks for clips, and others for images among them."""

from dataclasses import dataclass

from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import ClipGroup, Clips


@dataclass(frozen=True, kw_only=True)
class ImageAndClipMasks(MaskPreparation):
    """Gives clips their masks; a clip of one frame is an image, in tubelets of one frame."""

    image_samplers: tuple[MaskSampler, ...]

    def _masked(self, clips: Clips, seed: int, step: int) -> ClipGroup:
        if clips.pixels.shape[1] > 1:
            return super()._masked(clips, seed, step)
        images = MaskPreparation(samplers=self.image_samplers, tubelet=1, patch=self.patch)
        (group,) = images([clips], seed=seed, step=step).groups
        return group
