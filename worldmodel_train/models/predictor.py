"""The predictor: from the latents of the context to the latents of the targets."""

from collections.abc import Sequence

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.models.blocks import (
    Blocks,
    BlocksConfig,
    Stream,
    begin_stream,
    init_linear,
    rescale_residuals,
)
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.position import Places
from worldmodel_train.models.token_sets import lay_flat, take_apart
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import Masks, TokenGrid


class PredictorConfig(BlocksConfig):
    """A narrow transformer over context tokens and mask tokens."""

    mask_tokens: int = Field(default=1, gt=0)
    """Learned mask tokens; the objective says which mask group uses which."""
    mask_token_std: float = Field(default=0.0, ge=0)
    """Spread of the mask tokens at the start: 0 in V-JEPA, 0.02 in I-JEPA."""
    stream: Stream = "train"
    """Precision of the residual stream: train.precision, or `fp32` as in all released predictors,
    which join bf16 tokens with fp32 mask tokens."""

    def build(self, encoder: EncoderConfig) -> "Predictor":
        """A freshly initialised predictor of this encoder's latents."""
        return Predictor(self, encoder)


class Predictor(nn.Module):
    """Fills in target tokens by attending to context tokens and to each other."""

    def __init__(self, config: PredictorConfig, encoder: EncoderConfig) -> None:
        super().__init__()
        self.places = Places(encoder.position, config.head_width)
        self.stream: Stream = config.stream
        self.embed = Linear(encoder.blocks.width, config.width)
        self.mask_tokens = nn.Parameter(torch.zeros(config.mask_tokens, config.width))
        self.blocks = Blocks(config)
        self.norm = LastNorm(config.width, eps=1e-6)
        self.proj = Linear(config.width, encoder.blocks.width)
        self.apply(init_linear)
        rescale_residuals(self.blocks)
        nn.init.normal_(self.mask_tokens, std=config.mask_token_std)

    def forward(
        self,
        contexts: Sequence[Float[Tensor, "b _ e"]],
        masks: Sequence[Masks],
        grid: TokenGrid,
        mask_tokens: Sequence[int],
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """Predicted latents `b g m e` of the targets of each mask group from its context `b k e`.

        Group i marks its targets with mask token `mask_tokens[i]`. The g target sets of a group do
        not see each other. Tokens need no sorting by place: attention is full and positions travel
        with the tokens.
        """
        ids = [_join_ids(mask) for mask in masks]
        blanks = [
            self.mask_tokens[token].expand(len(index), mask.target_index.shape[2], -1)
            for token, mask, (index, _) in zip(mask_tokens, masks, ids, strict=True)
        ]
        groups = [self.places.group(index, valid, grid, len(index)) for index, valid in ids]
        joined = self._join(contexts, blanks, [index for index, _ in ids], grid)
        filled = take_apart(self.blocks(joined, groups), [(g.rows, g.tokens) for g in groups])
        shapes = [(len(blank), blank.shape[1]) for blank in blanks]
        targets = [tokens[:, -length:] for tokens, (_, length) in zip(filled, shapes, strict=True)]
        predicted = take_apart(self.proj(self.norm(lay_flat(targets))), shapes)
        return [
            tokens.unflatten(0, mask.target_index.shape[:2])
            for tokens, mask in zip(predicted, masks, strict=True)
        ]

    def _join(
        self,
        contexts: Sequence[Float[Tensor, "b _ e"]],
        blanks: Sequence[Float[Tensor, "_ _ d"]],
        ids: Sequence[Int[Tensor, "_ _"]],
        grid: TokenGrid,
    ) -> Float[Tensor, "n d"]:
        """All tokens: each target set of each mask group after its own copy of the context."""
        shapes = [(len(context), context.shape[1]) for context in contexts]
        stream = begin_stream(self.embed(lay_flat(contexts)), self.stream)
        embedded = take_apart(stream, shapes)
        joined = []
        for context, blank, index in zip(embedded, blanks, ids, strict=True):
            copies = repeat(context, "b k d -> (b g) k d", g=len(blank) // len(context))
            tokens = torch.cat((copies, blank.to(context.dtype)), dim=1)
            joined.append(self.places.add(tokens, index, grid))
        return lay_flat(joined)


def _join_ids(masks: Masks) -> tuple[Int[Tensor, "s n"], Bool[Tensor, "s n"] | None]:
    """Ids of context and targets together, one row per target set, and which of them count."""
    context_valid, target_valid = masks.context_valid, masks.target_valid
    index = _beside(masks.context_index, masks.target_index)
    if context_valid is None and target_valid is None:
        return index, None
    if context_valid is None:
        context_valid = torch.ones_like(masks.context_index, dtype=torch.bool)
    if target_valid is None:
        target_valid = torch.ones_like(masks.target_index, dtype=torch.bool)
    return index, _beside(context_valid, target_valid)


def _beside(context: Tensor, targets: Tensor) -> Tensor:
    """Context [b k] before each target set of its sample [b g m], as rows [(b g) (k + m)]."""
    repeated = repeat(context, "b k -> (b g) k", g=targets.shape[1])
    return torch.cat((repeated, targets.flatten(0, 1)), dim=1)
