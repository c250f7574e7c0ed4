"""A level of a hierarchy: from what is seen of a sequence, the latents of what comes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.masks.past_and_future import past_and_future
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.predictor import Predictor
from worldmodel_train.models.vit import Pictures, TokenTransformer
from worldmodel_train.types import LatentPair, TokenGrid


class Level(NamedTuple):
    """An encoder, its slow copy, and a predictor of what the copy sees of the future.

    No module: sharding gathers the objective's own ones when they are called.
    """

    encoder: TokenTransformer
    teacher: TokenTransformer
    predictor: Predictor

    def ahead(
        self,
        seen: Float[Tensor, "b k d"],
        whole: Float[Tensor, "b n d"],
        grid: TokenGrid,
        horizon: int,
    ) -> LatentPair:
        """What is predicted, from the first half, of the next tokens in time, and what they are.

        `seen` are the encoder's latents of the half, `whole` the copy's of everything.
        """
        half = grid.frames // 2
        masks = past_and_future(grid._replace(frames=half + horizon), half, len(seen))
        masks = masks.map(lambda index: index.to(seen.device))
        (predicted,) = self.predictor([seen], [masks], grid, [0])
        target = gather_sets(normalised(whole), masks.target_index)
        return LatentPair(predicted=predicted.float(), target=target)

    def see(self, past: Pictures) -> Float[Tensor, "b k d"]:
        """The encoder's latents."""
        (latents,) = self.encoder(past)
        return latents

    @torch.no_grad()
    def teach(self, whole: Pictures) -> Float[Tensor, "b n d"]:
        """The copy's latents, in fp32."""
        (latents,) = self.teacher(whole)
        return latents.float()
