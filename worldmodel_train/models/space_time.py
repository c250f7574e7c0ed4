"""Blocks for whole grids of tokens that attend over space, then over time, led by a condition.

Factorized as in Latte (arXiv 2401.03048), conditioned as DiT is (arXiv 2212.09748, AdaLN-Zero): the
condition shifts and scales what each layer reads and gates what it adds to the stream. All gates
begin closed, so that a new stack is the identity.
"""

from collections.abc import Callable
from functools import partial

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_kernels.factorized_attention import space_attention, time_attention
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.mlp import build_mlp
from worldmodel_train.models.modulation import Modulation, modulated
from worldmodel_train.models.stack import Stack


class FactorizedAttention(nn.Module):
    """Multi-head self-attention along one axis of a grid: that of `attend`."""

    def __init__(self, width: int, heads: int, attend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.heads = heads
        self.attend = attend
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, tokens: Float[Tensor, "b t s d"]) -> Float[Tensor, "b t s d"]:
        """What each token gathers from those of its frame, or of its place."""
        b, t, s, _ = tokens.shape
        qkv = self.qkv(tokens.flatten(0, 2))
        packed = rearrange(qkv, "(b t s) (x h e) -> b t s x h e", b=b, t=t, s=s, x=3, h=self.heads)
        gathered = rearrange(self.attend(packed), "b t s h e -> (b t s) (h e)")
        return self.proj(gathered).unflatten(0, (b, t, s))


class SpaceTimeBlock(nn.Module):
    """Attention over space, attention over time, MLP."""

    def __init__(self, config: BlocksConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.over_space = FactorizedAttention(width, heads, space_attention)
        self.over_time = FactorizedAttention(width, heads, partial(time_attention, causal=False))
        self.mlp = build_mlp(config.mlp, width, config.mlp_width)
        self.modulation = Modulation(width, 9)

    def forward(
        self, tokens: Float[Tensor, "b t s d"], condition: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b t s d"]:
        """The tokens after one more block."""
        vectors = [vector[:, None, None] for vector in self.modulation(condition)]
        for index, layer in enumerate((self.over_space, self.over_time, self._transformed)):
            shift, scale, gate = vectors[3 * index : 3 * index + 3]
            tokens = tokens + gate * layer(modulated(tokens, shift, scale))
        return tokens

    def _transformed(self, tokens: Float[Tensor, "b t s d"]) -> Float[Tensor, "b t s d"]:
        return self.mlp(tokens.flatten(0, 2)).unflatten(0, tokens.shape[:3])


class SpaceTimeBlocks(Stack):
    """Blocks one after the other, all led by one condition."""

    def __init__(self, config: BlocksConfig) -> None:
        super().__init__(SpaceTimeBlock(config) for _ in range(config.depth))
