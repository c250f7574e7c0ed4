"""A level of a hierarchy: from what is seen of a sequence, the latents of what comes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.masks.past_and_future import past_and_future
from worldmodel_train.models.flops import (
    Flops,
    MaskTokens,
    blocks_forward,
    once_each,
    predictor_forward,
)
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.predictor import Predictor, PredictorConfig
from worldmodel_train.models.vit import EncoderConfig, Pictures, TokenTransformer
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


def level_flops(
    encoder: EncoderConfig,
    predictor: PredictorConfig,
    *,
    embed: Flops,
    tokens: int,
    later: int,
    gradient: bool = False,
) -> dict[str, Flops]:
    """Of a level on a sequence of so many tokens, of which the first half is seen.

    `later` tokens after it are predicted. `embed` is what it costs to make a token of what a level
    is given, which takes a `gradient` back or does not.
    """
    seen = tokens // 2
    embedded = embed.times(3 if gradient else 2).times(seen)
    mask = MaskTokens(seen, later)
    return {
        "targets, forward": blocks_forward(encoder.blocks, tokens).plus(embed.times(tokens)),
        "context, forward + backward": once_each(blocks_forward(encoder.blocks, seen)).plus(
            embedded
        ),
        "predictor, forward + backward": once_each(predictor_forward(predictor, encoder, mask)),
    }
