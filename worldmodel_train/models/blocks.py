"""The stack of pre-norm transformer blocks that encoder and predictor share."""

import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.attention import SelfAttention
from worldmodel_train.models.layer_norm import LayerNorm, at_least_fp32
from worldmodel_train.models.mlp import MlpKind, build_mlp, mlp_width
from worldmodel_train.models.stack import Stack
from worldmodel_train.models.token_sets import AttentionGroup

INIT_STD = 0.02

Stream = Literal["train", "fp32"]
"""Precision of the stream of tokens that blocks add to."""


class BlocksConfig(StrictConfig):
    """The size of a stack of blocks."""

    width: int = Field(gt=0)
    """Channels of a token."""
    depth: int = Field(gt=0)
    """Blocks in the stack."""
    heads: int = Field(gt=0)
    """Attention heads; each is width / heads channels wide."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden channels of the MLP, as a multiple of width."""
    mlp: MlpKind = "gelu"
    """`swiglu` is V-JEPA's `use_silu`: three maps of two thirds of the hidden channels, rounded up
    to a multiple of 8. Its `wide_silu: false`, with all of them, is 1.5 times the mlp_ratio."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "BlocksConfig":
        if self.width % self.heads or self.head_width % 2 or self.head_width < 6:
            raise ValueError(
                f"width={self.width} does not split into heads={self.heads} of an even number of "
                "channels, at least 6 (three axes of rotated pairs); change heads or width"
            )
        return self

    @property
    def head_width(self) -> int:
        """Channels of one head."""
        return self.width // self.heads

    @property
    def mlp_width(self) -> int:
        """Hidden channels of the MLP."""
        return mlp_width(self.mlp, int(self.width * self.mlp_ratio))


class Block(nn.Module):
    """Attention and MLP, each normalised at its input and added to the stream."""

    def __init__(self, config: BlocksConfig) -> None:
        super().__init__()
        self.norm1 = LayerNorm(config.width, eps=1e-6)
        self.attn = SelfAttention(config.width, config.heads)
        self.norm2 = LayerNorm(config.width, eps=1e-6)
        self.mlp = build_mlp(config.mlp, config.width, config.mlp_width)

    def forward(
        self, tokens: Float[Tensor, "n d"], groups: Sequence[AttentionGroup]
    ) -> Float[Tensor, "n d"]:
        """The tokens after one more block."""
        tokens = tokens + self.attn(self.norm1(tokens), groups)
        return tokens + self.mlp(self.norm2(tokens))


class Blocks(Stack):
    """Blocks of tokens in groups; tokens that are not valid are seen by no other token."""

    def __init__(self, config: BlocksConfig) -> None:
        super().__init__(Block(config) for _ in range(config.depth))


def begin_stream(tokens: Float[Tensor, "*b d"], stream: Stream) -> Float[Tensor, "*b d"]:
    """The tokens in the stream's precision; what blocks add to them follows it."""
    return tokens if stream == "train" else tokens.to(at_least_fp32(tokens))


def init_linear(module: nn.Module) -> None:
    """Draw the weight of a linear map anew and zero its bias; leave other modules alone."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INIT_STD)
        nn.init.zeros_(module.bias)


def rescale_residuals(blocks: Blocks) -> None:
    """Divide what block l adds to the stream by sqrt(2 l), so that depth does not blow it up.

    Of a SwiGLU that is done to what is gated, as in the released code.
    """
    for depth, block in enumerate(blocks, start=1):
        assert isinstance(block, Block)
        for linear in (block.attn.proj, block.mlp.fc2):
            linear.weight.data /= math.sqrt(2 * depth)
