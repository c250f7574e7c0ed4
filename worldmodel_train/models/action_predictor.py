"""Predicts the next latent of each time step from those before it and the actions taken.

A causal transformer with one token a time step; the action acts by AdaLN-Zero (DiT, arXiv
2212.09748): it shifts and scales what each layer reads and gates what the layer adds. All gates
begin closed, so that a new predictor says that nothing changes, up to norm and projection.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.models.blocks import INIT_STD, init_linear
from worldmodel_train.models.flops import Flops, once_each
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.modulation import ADALN_EPS, Modulation, close, modulated
from worldmodel_train.models.projection_head import data_head_step

ACTION_MLP_RATIO = 4
VECTORS = 6
"""By which an action acts on a block."""


class ActionPredictorConfig(StrictConfig):
    """The size; the defaults are LeWorldModel's (arXiv 2603.19312)."""

    depth: int = Field(default=6, gt=0)
    """Blocks in the stack."""
    heads: int = Field(default=16, gt=0)
    """Attention heads."""
    head_width: int = Field(default=64, gt=0)
    """Channels of a head; heads together may be wider than a latent."""
    mlp_width: int = Field(default=2048, gt=0)
    """Hidden channels of the MLP."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of what each layer adds, and of attention's weights, that is left out in training."""

    def build(self, width: int, *, actions: int, history: int) -> "ActionPredictor":
        """A predictor of latents `width` wide, drawn from torch's global generator."""
        return ActionPredictor(self, width, actions=actions, history=history)


def action_predictor_step(
    config: ActionPredictorConfig, width: int, *, actions: int, steps: int
) -> Flops:
    """Over so many time steps and back; attention as if no step were hidden."""
    inner = config.heads * config.head_width
    weights = 4 * inner * width + 2 * width * config.mlp_width + VECTORS * width**2
    forward = Flops(
        linear=2.0 * config.depth * weights * steps,
        attention=4.0 * config.depth * inner * steps**2,
    )
    told = data_head_step((actions, ACTION_MLP_RATIO * width, width))
    return once_each(forward).plus(told.times(steps))


class ActionPredictor(nn.Module):
    """Latents and actions to the latents one step on."""

    def __init__(
        self, config: ActionPredictorConfig, width: int, *, actions: int, history: int
    ) -> None:
        super().__init__()
        self.position = nn.Parameter(INIT_STD * torch.randn(history, width))
        self.action_embed = nn.Sequential(
            Linear(actions, ACTION_MLP_RATIO * width),
            nn.SiLU(),
            Linear(ACTION_MLP_RATIO * width, width),
        )
        self.blocks = nn.ModuleList(ConditionalBlock(config, width) for _ in range(config.depth))
        self.norm = LastNorm(width, eps=ADALN_EPS)
        self.apply(init_linear)
        for block in self.blocks:
            assert isinstance(block, ConditionalBlock)
            close(block.modulation.proj)

    def forward(
        self, latents: Float[Tensor, "b t d"], actions: Float[Tensor, "b t a"]
    ) -> Float[Tensor, "b t d"]:
        """The next latent after each; `t` is at most the history, and no step sees a later one."""
        batch, steps, _ = latents.shape
        assert steps <= len(self.position), "more time steps than the predictor has positions"
        condition = self.action_embed(actions.flatten(0, 1)).unflatten(0, (batch, steps))
        tokens = latents + self.position[:steps]
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self.norm(tokens.flatten(0, 1)).unflatten(0, (batch, steps))


class ConditionalBlock(nn.Module):
    """Causal attention and MLP, each shifted, scaled and gated by the action of its time step."""

    def __init__(self, config: ActionPredictorConfig, width: int) -> None:
        super().__init__()
        self.attn = CausalAttention(config, width)
        self.mlp = nn.Sequential(
            Linear(width, config.mlp_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            Linear(config.mlp_width, width),
            nn.Dropout(config.dropout),
        )
        self.modulation = Modulation(width, VECTORS)

    def forward(
        self, tokens: Float[Tensor, "b t d"], condition: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b t d"]:
        """The tokens after one more block."""
        shape = tokens.shape[:2]
        shift, scale, gate, *mlp = self.modulation(condition)
        tokens = tokens + gate * self.attn(modulated(tokens, shift, scale))
        shift, scale, gate = mlp
        read = modulated(tokens, shift, scale)
        return tokens + gate * self.mlp(read.flatten(0, 1)).unflatten(0, shape)


class CausalAttention(nn.Module):
    """Multi-head self-attention of each time step over itself and those before it."""

    def __init__(self, config: ActionPredictorConfig, width: int) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.dropout = nn.Dropout(config.dropout)
        self.qkv = Linear(width, 3 * inner)
        self.proj = Linear(inner, width)

    def forward(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """What each time step gathers."""
        batch = len(tokens)
        qkv = self.qkv(tokens.flatten(0, 1))
        queries, keys, values = rearrange(
            qkv, "(b t) (x h e) -> x b h t e", b=batch, x=3, h=self.heads
        )
        # A few time steps, causal and with dropout: none of the chosen backends is for these.
        gathered = functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            is_causal=True,
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        flat = self.proj(rearrange(gathered, "b h t e -> (b t) (h e)"))
        return self.dropout(flat).unflatten(0, (batch, -1))
