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


class MaskFiller(nn.Module):
    """Blocks in which mask tokens are filled in by attending to context tokens and each other."""

    def __init__(self, config: PredictorConfig, encoder: EncoderConfig, embed: nn.Module) -> None:
        super().__init__()
        self.places = Places(encoder.position, config.head_width)
        self.stream: Stream = config.stream
        self.embed = embed
        """From the context's latents to the width of the blocks."""
        self.mask_tokens = nn.Parameter(torch.zeros(config.mask_tokens, config.width))
        self.blocks = Blocks(config)
        self.norm = LastNorm(config.width, eps=1e-6)

    def draw(self, config: PredictorConfig) -> None:
        """Draws all weights anew, from torch's global generator."""
        self.apply(init_linear)
        rescale_residuals(self.blocks)
        nn.init.normal_(self.mask_tokens, std=config.mask_token_std)

    def blanks(
        self, masks: Sequence[Masks], mask_tokens: Sequence[int]
    ) -> list[Float[Tensor, "_ _ d"]]:
        """What marks the targets of each mask group: of group i mask token `mask_tokens[i]`."""
        return [
            self.mask_tokens[token].expand(
                mask.target_index.shape[:2].numel(), mask.target_index.shape[2], -1
            )
            for token, mask in zip(mask_tokens, masks, strict=True)
        ]

    def fill(
        self,
        contexts: Sequence[Float[Tensor, "b _ e"]],
        masks: Sequence[Masks],
        grid: TokenGrid,
        blanks: Sequence[Float[Tensor, "_ _ d"]],
        added: Float[Tensor, " d"] | None = None,
    ) -> list[Float[Tensor, "_ _ d"]]:
        """The stream of context and targets of each mask group, `(b g) (k + m) d`.

        Targets begin as `blanks`. The g target sets of a group do not see each other. Tokens need
        no sorting by place: attention is full and positions travel with the tokens. What is `added`
        goes to all of them before the first block.
        """
        ids = [_join_ids(mask) for mask in masks]
        groups = [self.places.group(index, valid, grid, len(index)) for index, valid in ids]
        joined = self._join(contexts, blanks, [index for index, _ in ids], grid)
        if added is not None:
            joined = joined + added.to(joined.dtype)
        return take_apart(self.blocks(joined, groups), [(g.rows, g.tokens) for g in groups])

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


class Predictor(MaskFiller):
    """Fills in target tokens, and says what latents the targets have."""

    def __init__(self, config: PredictorConfig, encoder: EncoderConfig) -> None:
        super().__init__(config, encoder, Linear(encoder.blocks.width, config.width))
        self.proj = Linear(config.width, encoder.blocks.width)
        self.draw(config)

    def forward(
        self,
        contexts: Sequence[Float[Tensor, "b _ e"]],
        masks: Sequence[Masks],
        grid: TokenGrid,
        mask_tokens: Sequence[int],
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """Predicted latents `b g m e` of the targets of each mask group from its context `b k e`.

        Group i marks its targets with mask token `mask_tokens[i]`. The g target sets of a group do
        not see each other.
        """
        filled = self.fill(contexts, masks, grid, self.blanks(masks, mask_tokens))
        return read_off(targets_alone(filled, masks), self.norm, self.proj, masks)


def targets_alone(
    filled: Sequence[Float[Tensor, "_ _ d"]], masks: Sequence[Masks]
) -> list[Float[Tensor, "_ _ d"]]:
    """Of the stream of each mask group the targets, without the context before them."""
    return [
        tokens[:, -mask.target_index.shape[2] :] for tokens, mask in zip(filled, masks, strict=True)
    ]


def read_off(
    tokens: Sequence[Float[Tensor, "_ _ d"]],
    norm: nn.Module,
    proj: nn.Module,
    masks: Sequence[Masks],
) -> list[Float[Tensor, "b _ _ _"]]:
    """What a linear map says of the normalised tokens `(b g) n d` of each mask group, `b g n e`."""
    shapes = [(len(one), one.shape[1]) for one in tokens]
    read = take_apart(proj(norm(lay_flat(tokens))), shapes)
    return [
        one.unflatten(0, mask.target_index.shape[:2]) for one, mask in zip(read, masks, strict=True)
    ]


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
