"""The predictor of IWM: its mask tokens know how the look of what is hidden differs."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.blocks import init_linear
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.predictor import (
    MaskFiller,
    PredictorConfig,
    read_off,
    targets_alone,
)
from worldmodel_train.models.views.colours import LOOK
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import Masks, TokenGrid


def told_widths(config: PredictorConfig) -> tuple[int, ...]:
    """Channels from a mask token and a change of looks to a marked one, map by map."""
    return (config.width + LOOK, config.width, config.width, config.width)


class LookPredictor(MaskFiller):
    """A predictor whose mask tokens know how the look of the targets differs."""

    def __init__(self, config: PredictorConfig, encoder: EncoderConfig) -> None:
        width = config.width
        super().__init__(config, encoder, Linear(encoder.blocks.width, width))
        self.config = config
        self.proj = Linear(width, encoder.blocks.width)
        self.draw(config)
        maps = [Linear(before, after) for before, after in pairwise(told_widths(config))]
        self.told = nn.Sequential(maps[0], nn.GELU(), maps[1], nn.GELU(), maps[2])
        self.told.apply(init_linear)

    def forward(
        self,
        contexts: Sequence[Float[Tensor, "b _ e"]],
        masks: Sequence[Masks],
        grid: TokenGrid,
        changes: Float[Tensor, "b 7"],
    ) -> list[Float[Tensor, "b _ _ e"]]:
        """Predicted latents `b g m e` of the targets of each mask group; all share mask token 0."""
        blank = self.mask_tokens[:1].expand(len(changes), -1)
        marked = self.told(torch.cat((blank, changes.to(blank.dtype)), dim=1))
        shapes = [mask.target_index.shape[1:] for mask in masks]
        blanks = [repeat(marked, "b d -> (b g) m d", g=sets, m=tokens) for sets, tokens in shapes]
        filled = self.fill(contexts, masks, grid, blanks)
        return read_off(targets_alone(filled, masks), self.norm, self.proj, masks)
