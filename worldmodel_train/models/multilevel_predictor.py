"""The predictor of V-JEPA 2.1: latents of four depths, of the targets and of the context too."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.flops import Flops, MaskTokens, predictor_blocks
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.multilevel_vit import (
    LEVELS,
    MODALITIES,
    Modality,
    MultilevelEncoderConfig,
    draw_modality,
)
from worldmodel_train.models.predictor import MaskFiller, PredictorConfig, read_off
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.types import Masks, TokenGrid


def multilevel_forward(
    config: PredictorConfig, encoder: MultilevelEncoderConfig, mask: MaskTokens
) -> Flops:
    """One pass over a mask group, whose context is read off as often as it is told."""
    width, told = encoder.blocks.width, mask.sets * (mask.context + mask.target)
    fused = head_forward((LEVELS * width, width, config.width)).times(mask.context)
    read = head_forward((config.width, LEVELS * width)).times(told)
    return fused.plus(predictor_blocks(config, mask)).plus(read)


class MultilevelPredictor(MaskFiller):
    """Joins the four levels of the context, fills in targets, and has a head for either."""

    def __init__(self, config: PredictorConfig, encoder: MultilevelEncoderConfig) -> None:
        width = encoder.blocks.width
        fuse = nn.Sequential(Linear(LEVELS * width, width), nn.GELU(), Linear(width, config.width))
        super().__init__(config, encoder, fuse)
        self.proj = Linear(config.width, LEVELS * width)
        self.context_proj = Linear(config.width, LEVELS * width)
        self.modality = draw_modality(config.width)
        self.draw(config)

    def forward(
        self,
        contexts: Sequence[Float[Tensor, "b _ e"]],
        masks: Sequence[Masks],
        grid: TokenGrid,
        mask_tokens: Sequence[int],
        modality: Modality,
    ) -> tuple[list[Float[Tensor, "b _ _ e"]], list[Float[Tensor, "b _ _ e"]]]:
        """What is said of each mask group's targets, `b g m e`, and of its context, `b g k e`.

        Both are of the four levels end to end, as the context `b k e` that is given. Group i marks
        its targets with mask token `mask_tokens[i]`. The g target sets of a group do not see each
        other; the context is told once beside each.
        """
        added = self.modality[MODALITIES.index(modality)]
        filled = self.fill(contexts, masks, grid, self.blanks(masks, mask_tokens), added)
        parts = [
            tokens.split((mask.context_index.shape[1], mask.target_index.shape[2]), dim=1)
            for tokens, mask in zip(filled, masks, strict=True)
        ]
        seen, targets = ([part[i] for part in parts] for i in (0, 1))
        return (
            read_off(targets, self.norm, self.proj, masks),
            read_off(seen, self.norm, self.context_proj, masks),
        )
