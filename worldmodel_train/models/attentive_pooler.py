"""An attentive pooler: learned queries gather what a set of tokens has to say.

The probe of V-JEPA 2 (arXiv 2506.09985, section 5): blocks of self-attention, then one of
cross-attention from the queries, without a projection of what they gather.
"""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.attention import attention
from worldmodel_train.models.blocks import INIT_STD, Block, Blocks, BlocksConfig, init_linear
from worldmodel_train.models.layer_norm import LayerNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.mlp import build_mlp
from worldmodel_train.models.token_sets import AttentionGroup


class AttentivePooler(nn.Module):
    """Tokens of a clip to one vector for each query; positions play no part."""

    def __init__(self, config: BlocksConfig, *, queries: int = 1) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.blocks = Blocks(config)
        self.queries = nn.Parameter(torch.zeros(queries, width))
        self.norm1 = LayerNorm(width, eps=1e-6)
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.norm2 = LayerNorm(width, eps=1e-6)
        self.mlp = build_mlp(config.mlp, width, config.mlp_width)
        self._draw()

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b q d"]:
        """What each query has gathered."""
        rows, count, _ = tokens.shape
        group = AttentionGroup(rows, count, one_length=True)
        seen = self.norm1(self.blocks(tokens.flatten(0, 1), [group]))
        queries = repeat(self.queries, "q d -> (b q) d", b=rows)
        pooled = queries + self._gather(queries, seen, rows)
        pooled = pooled + self.mlp(self.norm2(pooled))
        return pooled.unflatten(0, (rows, -1))

    def _gather(
        self, queries: Float[Tensor, "m d"], tokens: Float[Tensor, "n d"], rows: int
    ) -> Float[Tensor, "m d"]:
        """Attention of each row's queries to its tokens."""
        heads = [
            rearrange(flat, "(b n) (h e) -> b h n e", b=rows, h=self.heads)
            for flat in (self.query(queries), self.key(tokens), self.value(tokens))
        ]
        gathered = attention(*heads, one_length=True)
        return rearrange(gathered, "b h q e -> (b q) (h e)")

    def _draw(self) -> None:
        """Draws all weights; what block i adds to the stream is 1/sqrt(i) as large."""
        self.apply(init_linear)
        nn.init.trunc_normal_(self.queries, std=INIT_STD)
        for depth, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Block)
            for linear in (block.attn.proj, block.mlp.fc2):
                linear.weight.data /= math.sqrt(depth)
        self.mlp.fc2.weight.data /= math.sqrt(len(self.blocks) + 1)
