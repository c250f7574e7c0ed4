"""What decoded pixels have to beat, fitted on clips of the training data."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.probes.linear_pixels import LinearPixels
from worldmodel_train.protocols import LatentRenderer


@dataclass(frozen=True, kw_only=True)
class PixelRivals:
    """The mean of all clips, and the best linear map of a latent to its pixels."""

    mean: Float[Tensor, "n p"]
    """A tubelet for each place."""
    linear: LinearPixels
    num_clips: int

    @classmethod
    def fitted(cls, renderer: LatentRenderer, train: FixedClips, batch_size: int) -> "PixelRivals":
        """Both, fitted on these clips and on what the renderer's model sees in them."""
        linear, total = LinearPixels(), torch.zeros(())
        with frozen(renderer) as device:
            model = renderer.latent_model(device)
            for batch in train.clips.split(batch_size):
                clips = batch.to(device)
                tubelets = renderer.tubelets(clips)
                linear.add(model.encode(clips), tubelets)
                total = total.to(device) + tubelets.sum(dim=0)
        return cls(mean=total / len(train.clips), linear=linear, num_clips=len(train.clips))
