"""The predictor: from the latents of the context to the latents of the targets."""

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear, rescale_residuals
from worldmodel_train.models.checkpointing import ActivationCheckpointing
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import Masks, TokenGrid


class PredictorConfig(BlocksConfig):
    """A narrow transformer over context tokens and mask tokens."""

    mask_tokens: int = Field(default=1, gt=0)
    """Learned mask tokens; the objective says which mask group uses which."""
    mask_token_std: float = Field(default=0.0, ge=0)
    """Spread of the mask tokens at the start: 0 in V-JEPA, 0.02 in I-JEPA."""

    def build(self, encoder: EncoderConfig) -> "Predictor":
        """A freshly initialised predictor of this encoder's latents."""
        return Predictor(self, encoder)


class Predictor(nn.Module):
    """Fills in target tokens by attending to context tokens and to each other."""

    def __init__(self, config: PredictorConfig, encoder: EncoderConfig) -> None:
        super().__init__()
        self.position = encoder.position
        self.head_width = config.head_width
        self.embed = nn.Linear(encoder.blocks.width, config.width)
        self.mask_tokens = nn.Parameter(torch.zeros(config.mask_tokens, config.width))
        self.blocks = Blocks(config)
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.proj = nn.Linear(config.width, encoder.blocks.width)
        self.apply(init_linear)
        rescale_residuals(self.blocks)
        nn.init.normal_(self.mask_tokens, std=config.mask_token_std)

    def forward(
        self,
        context: Float[Tensor, "b k d"],
        masks: Masks,
        grid: TokenGrid,
        mask_token: int = 0,
    ) -> Float[Tensor, "b g m d"]:
        """Predicted latents of the targets; the g target sets do not see each other.

        Tokens need no sorting by place: attention is full and positions travel with the tokens.
        """
        sets, targets = masks.target_index.shape[1:]
        index, valid = _join(masks)
        # In the order of index: each set of targets comes after its own copy of the context.
        context = repeat(self.embed(context), "b k d -> (b g) k d", g=sets)
        blank = self.mask_tokens[mask_token].to(context.dtype).expand(len(context), targets, -1)
        tokens = self.position.add(torch.cat((context, blank), dim=1), index, grid)
        rotation = self.position.rotation(index, grid, self.head_width)
        filled = self.blocks(tokens, rotation, valid)[:, -targets:]
        return rearrange(self.proj(self.norm(filled)), "(b g) m d -> b g m d", g=sets)

    def set_activation_checkpointing(self, policy: ActivationCheckpointing) -> None:
        """Choose what the blocks keep for the backward pass."""
        self.blocks.activation_checkpointing = policy


def _join(masks: Masks) -> tuple[Int[Tensor, "s n"], Bool[Tensor, "s n"] | None]:
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
