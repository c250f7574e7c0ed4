"""A baseline that learns nothing: what is usual at a place, shifted by how unusual the clip is."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.types import Masks


class PlaceMeans:
    """Mean latents of each place of the grid, over the clips of all videos but one."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, latents: Float[Tensor, "b n d"], videos: Sequence[str]) -> None:
        """Counts the latents of some clips and the videos that they were cut from."""
        for clip, video in zip(latents.double(), videos, strict=True):
            self._sums[video] = self._sums.get(video, torch.zeros_like(clip)) + clip
            self._counts[video] = self._counts.get(video, 0) + 1

    def without(self, video: str) -> Float[Tensor, "n d"]:
        """The means over the clips of all other videos; NaN where there is no other."""
        others = [name for name in self._sums if name != video]
        total = torch.zeros_like(self._sums[video])
        for name in others:
            total += self._sums[name]
        return (total / torch.tensor(sum(self._counts[name] for name in others))).float()


def place_and_clip(
    latents: Float[Tensor, "b n d"], places: Float[Tensor, "b n d"], masks: Masks
) -> Float[Tensor, "b g m d"]:
    """For each target the mean latent of its place, plus the clip's mean offset at what is visible.

    `places` holds each clip's place means, made without the clip's own video.
    """
    seen = gather_tokens(latents - places, masks.context_index)
    visible = masks.context_valid
    if visible is None:
        offset = seen.mean(dim=1)
    else:
        offset = (seen * visible[..., None]).sum(dim=1) / visible.sum(dim=1, keepdim=True)
    targets = masks.target_index
    usual = gather_tokens(places, targets.flatten(1)).unflatten(1, targets.shape[1:])
    return usual + offset[:, None, None]
