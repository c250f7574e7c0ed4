"""A pyramid of features of a picture, each level half as large as the one before.

Blocks are ConvNeXt's (arXiv 2201.03545). ConvNeXt begins with patches of 4 px; here finer levels
come before, the first with the picture's own pixels, so that flow can be as fine as they are.
"""

from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.blocks import INIT_STD
from worldmodel_train.models.flops import Flops, once_each, total
from worldmodel_train.models.layer_norm import LastNorm, LayerNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.tubelet_embed import CHANNELS, IMAGENET_MEAN, IMAGENET_STD

_MLP_RATIO = 4


class PyramidConfig(StrictConfig):
    """The size of a pyramid, level by level, the finest first."""

    widths: tuple[int, ...] = Field(min_length=2)
    """Channels of each level; the first is as large as the picture, each next half as large."""
    depths: tuple[int, ...]
    """Blocks of each level."""
    kernel: int = Field(default=7, ge=1)
    """Height and width of a block's convolution; odd."""
    layer_scale: float = Field(default=1e-6, gt=0)
    """What a block adds is scaled by this at the beginning; the scale is learned."""

    @model_validator(mode="after")
    def _levels_are_whole(self) -> "PyramidConfig":
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"depths={list(self.depths)} are of {len(self.depths)} levels, and "
                f"widths={list(self.widths)} of {len(self.widths)}; give one of each to a level"
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} has no middle; use {self.kernel + 1}")
        return self

    @property
    def width(self) -> int:
        """Channels of the coarsest level."""
        return self.widths[-1]

    @property
    def stride(self) -> int:
        """Pixels that a place of the coarsest level is high and wide."""
        return 2 ** (len(self.widths) - 1)

    def build(self) -> "FeaturePyramid":
        """A freshly drawn pyramid."""
        return FeaturePyramid(self)


def pyramid_step(config: PyramidConfig, height: int, width: int) -> Flops:
    """Of a picture, forward and backward; its pixels are given no gradient."""
    places = [height * width // 4**level for level in range(len(config.widths))]
    pixels = head_forward((3**2 * CHANNELS, config.widths[0])).times(places[0])
    shrunk = [
        head_forward((2**2 * before, after)).times(count)
        for (before, after), count in zip(pairwise(config.widths), places[1:], strict=True)
    ]
    blocks = [
        _block_forward(config.kernel, channels).times(depth * count)
        for channels, depth, count in zip(config.widths, config.depths, places, strict=True)
    ]
    return once_each(total((*shrunk, *blocks))).plus(pixels.times(2))


def _block_forward(kernel: int, width: int) -> Flops:
    """At one place."""
    around = Flops(linear=2.0 * kernel**2 * width)
    return head_forward((width, _MLP_RATIO * width, width)).plus(around)


class FeaturePyramid(nn.Module):
    """Pictures to features at every level."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD), persistent=False)
        first, *_ = config.widths
        self.levels = nn.ModuleList([nn.Sequential(nn.Conv2d(3, first, 3, padding=1))])
        for before, after in pairwise(config.widths):
            shrink = nn.Sequential(OverChannels(LayerNorm(before)), nn.Conv2d(before, after, 2, 2))
            self.levels.append(shrink)
        for level, width, depth in zip(self.levels, config.widths, config.depths, strict=True):
            assert isinstance(level, nn.Sequential)
            level.extend(ConvNextBlock(width, config) for _ in range(depth))
        self.norms = nn.ModuleList(OverChannels(LastNorm(width)) for width in config.widths)
        self.apply(_init)

    def forward(self, pictures: UInt8[Tensor, "b h w c"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The features of each level, the finest first, in fp32; each place has variance 1."""
        features = rearrange(_standard(pictures, self.mean, self.std), "b h w c -> b c h w")
        found = []
        for level, norm in zip(self.levels, self.norms, strict=True):
            features = level(features)
            found.append(norm(features))
        return found


class ConvNextBlock(nn.Module):
    """A convolution of each channel by itself, then a network at each place."""

    def __init__(self, width: int, config: PyramidConfig) -> None:
        super().__init__()
        middle = config.kernel // 2
        self.around = nn.Conv2d(width, width, config.kernel, padding=middle, groups=width)
        self.at_place = OverChannels(
            LayerNorm(width),
            Linear(width, _MLP_RATIO * width),
            nn.GELU(),
            Linear(_MLP_RATIO * width, width),
        )
        self.scale = nn.Parameter(torch.full((width,), config.layer_scale))

    def forward(self, features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """The features, with something added, in fp32: beside 1, 1e-6 is nothing in bf16."""
        added = self.at_place(self.around(features)).float()
        return features.float() + self.scale.float()[:, None, None] * added


class OverChannels(nn.Sequential):
    """Layers for flat tokens, applied at every place."""

    def forward(self, input: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b _ h w"]:
        """The features that the last layer gives."""
        batch, height, _ = input.shape[0], *input.shape[2:]
        tokens = super().forward(rearrange(input, "b d h w -> (b h w) d"))
        return rearrange(tokens, "(b h w) d -> b d h w", b=batch, h=height)


def _standard(
    pictures: UInt8[Tensor, "b h w c"], mean: Float[Tensor, "c"], std: Float[Tensor, "c"]
) -> Float[Tensor, "b h w c"]:
    return (pictures.float() / 255 - mean) / std


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INIT_STD)
        assert module.bias is not None, "all maps have one"
        nn.init.zeros_(module.bias)
