"""The vision transformer that encodes clips, and spectrograms."""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Annotated, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Discriminator, Field, Tag
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.blocks import (
    Blocks,
    BlocksConfig,
    Stream,
    begin_stream,
    init_linear,
    rescale_residuals,
)
from worldmodel_train.models.layer_norm import LastNorm, NoLastNorm
from worldmodel_train.models.position import Places, Position
from worldmodel_train.models.rope import Rope3d
from worldmodel_train.models.token_sets import AttentionGroup, TokenSet, lay_flat, take_apart
from worldmodel_train.models.tubelet_embed import TubeletEmbed
from worldmodel_train.types import TokenGrid

Pictures: TypeAlias = UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t m"]
"""Clips, or spectrograms of sound."""

SizeName = Literal[
    "vit_tiny", "vit_small", "vit_base", "vit_large", "vit_huge", "vit_giant", "vit_gigantic"
]

SIZES: dict[SizeName, BlocksConfig] = {
    "vit_tiny": BlocksConfig(width=192, depth=12, heads=3),
    "vit_small": BlocksConfig(width=384, depth=12, heads=6),
    "vit_base": BlocksConfig(width=768, depth=12, heads=12),
    "vit_large": BlocksConfig(width=1024, depth=24, heads=16),
    "vit_huge": BlocksConfig(width=1280, depth=32, heads=16),
    "vit_giant": BlocksConfig(width=1408, depth=40, heads=22, mlp_ratio=48 / 11),
    "vit_gigantic": BlocksConfig(width=1664, depth=48, heads=26, mlp_ratio=64 / 13),
}


@runtime_checkable
class TokenEmbed(Protocol):
    """Makes tokens of pictures; an `nn.Module`."""

    def grid(self, pictures: Pictures, /) -> TokenGrid:
        """The grid of tokens that pictures of this size become."""
        ...

    def __call__(self, pictures: Pictures, index: Int[Tensor, "#b k"], /) -> Float[Tensor, "b k d"]:
        """The tokens with these ids."""
        ...


EmbedT = TypeVar("EmbedT", bound=TokenEmbed)


def _spelling(size: object) -> str:
    return "name" if isinstance(size, str) else "numbers"


class EncoderConfig(StrictConfig):
    """A vision transformer over tubelets."""

    size: Annotated[
        Annotated[SizeName, Tag("name")] | Annotated[BlocksConfig, Tag("numbers")],
        Discriminator(_spelling),
    ]
    """A named size such as vit_large, or {width, depth, heads, mlp_ratio}."""
    patch: int = Field(default=16, gt=0)
    """Height and width of a tubelet in pixels."""
    tubelet: int = Field(default=2, gt=0)
    """Frames of a tubelet; 1 for images."""
    position: Position = Rope3d()
    """How tokens learn where they are; the predictor does it the same way."""
    stream: Stream = "train"
    """Precision of the residual stream: train.precision, or `fp32` as in the released I-JEPA."""
    last_norm: Literal["layer_norm", "none"] = "layer_norm"
    """Whether latents are normalised; `none` as in VideoMAE's classifier, which averages
    them first."""

    @property
    def blocks(self) -> BlocksConfig:
        """The size in numbers, however it is spelled."""
        return SIZES[self.size] if isinstance(self.size, str) else self.size

    def build(self) -> "VisionTransformer":
        """A freshly initialised encoder, drawn from torch's global generator."""
        return VisionTransformer(self)


class TokenTransformer(nn.Module, Generic[EmbedT]):
    """Pictures to latents: embed the kept tokens, run the blocks, normalise."""

    patch_embed: EmbedT

    def __init__(self, config: EncoderConfig, embed: EmbedT) -> None:
        super().__init__()
        self.config = config
        self.width = width = config.blocks.width
        self.position = config.position
        self.stream: Stream = config.stream
        self.places = Places(config.position, config.blocks.head_width)
        self.patch_embed = embed
        self.blocks = Blocks(config.blocks)
        has_norm = config.last_norm == "layer_norm"
        self.norm = LastNorm(width, eps=1e-6) if has_norm else NoLastNorm()
        self.apply(init_linear)
        rescale_residuals(self.blocks)

    def forward(
        self,
        pictures: Pictures,
        kept: Sequence[TokenSet] | None = None,
        *,
        layer: int | None = None,
    ) -> list[Float[Tensor, "b _ d"]]:
        """Latents `b k d` of each set of tokens; without sets, of one set of all tokens, in order.

        Tokens that are not in a set are dropped before the first block, so no latent of the set
        knows of them. Latents that are not valid mean nothing. With `layer` they are the stream
        after so many blocks, which no norm has seen; 0 is what goes into the first.
        """
        assert layer is None or 0 <= layer <= len(self.blocks), f"{layer} of {len(self.blocks)}"
        embedded, groups = self._begin(pictures, kept)
        stream = self.blocks(embedded, groups, depth=layer)
        latents = self.norm(stream) if layer is None else stream
        return take_apart(latents, [(group.rows, group.tokens) for group in groups])

    def after(self, pictures: Pictures, layers: Collection[int]) -> list[Float[Tensor, "b n d"]]:
        """Latents of all tokens after so many blocks each, from the first layer on.

        Unlike those of `layer` they are normalised, all of them by the last norm.
        """
        assert layers, "no layer is asked for"
        assert all(0 < layer <= len(self.blocks) for layer in layers), f"{layers} of them"
        embedded, groups = self._begin(pictures, None)
        streams = enumerate(self.blocks.after_each(embedded, groups), start=1)
        last = max(layers)
        chosen = [s for number, s in islice(streams, last) if number in layers]
        return [self.norm(stream).unflatten(0, (len(pictures), -1)) for stream in chosen]

    def _begin(
        self, pictures: Pictures, kept: Sequence[TokenSet] | None
    ) -> tuple[Float[Tensor, "n d"], list[AttentionGroup]]:
        """What goes into the first block: tokens of all sets, and which see each other."""
        grid = self.token_grid(pictures)
        everything = torch.arange(grid.num_tokens, device=pictures.device)[None]
        sets = [TokenSet(everything)] if kept is None else kept
        groups = [
            self.places.group(one.index, one.valid, grid, len(pictures), one_length=kept is None)
            for one in sets
        ]
        return lay_flat([self._embed(pictures, chosen.index, grid) for chosen in sets]), groups

    def _embed(
        self, pictures: Pictures, index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k d"]:
        tokens = begin_stream(self._tubelets(pictures, index), self.stream)
        return self.places.add(tokens, index, grid)

    def _tubelets(self, pictures: Pictures, index: Int[Tensor, "#b k"]) -> Float[Tensor, "b k d"]:
        """The tokens with these ids, which do not know yet where they are."""
        return self.patch_embed(pictures, index)

    def token_grid(self, pictures: Pictures) -> TokenGrid:
        """The grid of tokens that pictures of this size become."""
        return self.patch_embed.grid(pictures)


class VisionTransformer(TokenTransformer[TubeletEmbed]):
    """The one of clips, whose tokens are tubelets."""

    def __init__(self, config: EncoderConfig) -> None:
        width = config.blocks.width
        super().__init__(config, TubeletEmbed(width, patch=config.patch, tubelet=config.tubelet))
