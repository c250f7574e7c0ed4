"""The vision transformer of V-JEPA 2.1: latents of four depths, and tubelets of images apart."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import field_validator
from torch import Tensor, nn

from worldmodel_train.models.blocks import init_linear
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.position import Position
from worldmodel_train.models.rope import Rope3dInterpolated
from worldmodel_train.models.token_sets import TokenSet, take_apart
from worldmodel_train.models.tubelet_embed import TubeletEmbed
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.types import TokenGrid

LEVELS = 4
MODALITIES = ("image", "video")
Modality: TypeAlias = Literal["image", "video"]
MODALITY_STD = 1e-6
_RELEASED_LEVELS = {48: (12, 24, 38, 48)}  # 38, where a quarter of the way would be 36


def level_depths(depth: int) -> tuple[int, ...]:
    """After how many blocks each of the four levels is read; the last is after all.

    Every quarter of the way, as released for 12, 24 and 40 blocks; ViT-G's third is released two
    blocks later.
    """
    quarters = tuple(depth * level // LEVELS for level in range(1, LEVELS + 1))
    return _RELEASED_LEVELS.get(depth, quarters)


def modality_of(clips: UInt8[Tensor, "b t h w c"]) -> Modality:
    """`image` where clips are of one frame."""
    return "image" if clips.shape[1] == 1 else "video"


def draw_modality(width: int) -> nn.Parameter:
    """What is added to tokens of images and of videos, a row each; nearly nothing at first."""
    return nn.Parameter(torch.empty(len(MODALITIES), width).normal_(std=MODALITY_STD))


class MultilevelEncoderConfig(EncoderConfig):
    """A vision transformer over tubelets, or over the patches of images, read at four depths."""

    position: Position = Rope3dInterpolated()
    """How tokens learn where they are; the predictor does it the same way."""

    @field_validator("last_norm")
    @classmethod
    def _is_there(cls, last_norm: str) -> str:
        if last_norm == "none":
            raise ValueError("last_norm=none, but latents of each level are normalised; leave it")
        return last_norm

    @field_validator("size")
    @classmethod
    def _has_four_levels(cls, size: object) -> object:
        depth = getattr(size, "depth", LEVELS)
        if depth < LEVELS:
            raise ValueError(f"depth={depth} has no {LEVELS} levels; use {LEVELS} blocks or more")
        return size

    def build(self) -> "MultilevelVisionTransformer":
        """A freshly initialised encoder, drawn from torch's global generator."""
        return MultilevelVisionTransformer(self)


class MultilevelVisionTransformer(VisionTransformer):
    """Clips to latents of four depths. The deepest are those of a `VisionTransformer`."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.depths = level_depths(len(self.blocks))
        self.level_norms = nn.ModuleList(LastNorm(self.width, eps=1e-6) for _ in self.depths[:-1])
        """Of all levels but the last, whose norm is `norm`."""
        self.image_embed = TubeletEmbed(self.width, patch=config.patch, tubelet=1)
        self.image_embed.apply(init_linear)
        self.modality = draw_modality(self.width)

    def forward(
        self,
        pictures: UInt8[Tensor, "b t h w c"],
        kept: Sequence[TokenSet] | None = None,
        *,
        layer: int | None = None,
        levels: Literal["last", "all"] = "last",
    ) -> list[Float[Tensor, "b _ _"]]:
        """As of a `VisionTransformer`; with levels `all` of the four, end to end, `b k 4d`."""
        if levels == "last":
            return super().forward(pictures, kept, layer=layer)
        assert layer is None, "a layer is no level"
        embedded, groups = self._begin(pictures, kept)
        streams = enumerate(self.blocks.after_each(embedded, groups), start=1)
        norms = dict(zip(self.depths, (*self.level_norms, self.norm), strict=True))
        latents = torch.cat([norms[n](s) for n, s in streams if n in norms], dim=-1)
        return take_apart(latents, [(group.rows, group.tokens) for group in groups])

    def token_grid(self, pictures: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that clips of this size become."""
        return self._embed_of(modality_of(pictures)).grid(pictures)

    def _embed_of(self, modality: Modality) -> TubeletEmbed:
        return self.image_embed if modality == "image" else self.patch_embed

    def _tubelets(
        self, pictures: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "#b k"]
    ) -> Float[Tensor, "b k d"]:
        modality = modality_of(pictures)
        tokens = self._embed_of(modality)(pictures, index)
        tokens = tokens + self.modality[MODALITIES.index(modality)].to(tokens.dtype)
        return tokens + 0 * self._idle(pictures) if torch.is_grad_enabled() else tokens

    def _idle(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "1 1 d"]:
        """A token of the other modality's: times zero it gives its weights a gradient of zero.

        Ranks whose batches hold images and ranks whose batches hold none then agree on which
        gradients there are, under every strategy.
        """
        first = torch.zeros(1, 1, dtype=torch.long, device=clips.device)
        if modality_of(clips) == "video":
            return self.image_embed(clips[:1, :1].contiguous(), first)
        return self.patch_embed(clips[:1].repeat(1, self.patch_embed.tubelet, 1, 1, 1), first)
