"""Predicts the next frame's latents from those of all frames before it, actions and states.

The predictor of V-JEPA 2-AC (arXiv 2506.09985): a transformer over the tokens of each frame, which
are an action and a state, where they are told, and the patches. A token sees those of its own frame
and of earlier ones. It is turned by the place of its patch and its frame; action and state by their
frame alone.
"""

from dataclasses import replace
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear, rescale_residuals
from worldmodel_train.models.flops import Flops, blocks_forward
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.position import Places
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.rope import Rope3d, Rope3dVJepa2
from worldmodel_train.types import TokenGrid


class FrameCausalPredictorConfig(BlocksConfig):
    """The size; the defaults are V-JEPA 2-AC's."""

    width: int = Field(default=1024, gt=0)
    """Channels of a token."""
    depth: int = Field(default=24, gt=0)
    """Blocks in the stack."""
    heads: int = Field(default=16, gt=0)
    """Attention heads; each is width / heads channels wide."""
    position: Annotated[Rope3d | Rope3dVJepa2, Field(discriminator="name")] = Rope3d()
    """How tokens learn where they are; the released weights want rope3d_vjepa2."""

    def build(self, latent: int, *, actions: int, states: int) -> "FrameCausalPredictor":
        """A predictor of latents `latent` wide, drawn from torch's global generator.

        Actions and states of 0 numbers have no token.
        """
        return FrameCausalPredictor(self, latent, actions=actions, states=states)


def frame_causal_forward(
    config: FrameCausalPredictorConfig, latent: int, *, frames: int, patches: int, beside: int
) -> Flops:
    """Over so many frames of patches and of tokens beside them, whose embedding is left out."""
    ends = head_forward((latent, config.width)).times(2 * frames * patches)
    blocks = blocks_forward(config, frames * (patches + beside))
    # a frame's tokens see their own frame and those before: of all pairs of frames so many
    seen = (frames + 1) / (2 * frames)
    return ends.plus(blocks._replace(attention=blocks.attention * seen))


class FrameCausalPredictor(nn.Module):
    """Latents of frames, and what is done in them, to the latents one frame on."""

    def __init__(
        self, config: FrameCausalPredictorConfig, latent: int, *, actions: int, states: int
    ) -> None:
        super().__init__()
        self.places = Places(config.position, config.head_width)
        self.embed = Linear(latent, config.width)
        self.action_embed = Linear(actions, config.width) if actions else None
        self.state_embed = Linear(states, config.width) if states else None
        self.blocks = Blocks(config)
        self.norm = LastNorm(config.width, eps=1e-6)
        self.proj = Linear(config.width, latent)
        self.apply(init_linear)
        rescale_residuals(self.blocks)

    @property
    def beside(self) -> int:
        """Tokens of a frame before its patches: what is done in it, and the state in it."""
        return sum(embed is not None for embed in (self.action_embed, self.state_embed))

    def forward(
        self,
        latents: Float[Tensor, "b t n d"],
        actions: Float[Tensor, "b t a"],
        states: Float[Tensor, "b t s"],
        grid: TokenGrid,
    ) -> Float[Tensor, "b t n d"]:
        """The latents after each frame; `grid` is that of one, and none sees a later one."""
        batch, frames, patches, _ = latents.shape
        assert (1, patches) == (grid.frames, grid.num_tokens), "the grid is that of one frame"
        tokens = rearrange(self._tokens(latents, actions, states), "b t n d -> (b t n) d")
        index = _places(frames, grid, beside=self.beside, device=latents.device)
        clip = grid._replace(frames=frames)
        in_frame = self.beside + patches
        group = replace(self.places.group(index, None, clip, batch), frame_tokens=in_frame)
        seen = self.blocks(tokens, [group]).view(batch, frames, in_frame, -1)
        following = self.proj(self.norm(seen[:, :, self.beside :].flatten(0, 2)))
        return following.view(latents.shape)

    def _tokens(
        self,
        latents: Float[Tensor, "b t n d"],
        actions: Float[Tensor, "b t a"],
        states: Float[Tensor, "b t s"],
    ) -> Float[Tensor, "b t _ e"]:
        """Of each frame: action, state, patches."""
        told = ((self.action_embed, actions), (self.state_embed, states))
        beside = [
            embed(numbers.flatten(0, 1)).unflatten(0, numbers.shape[:2])[:, :, None]
            for embed, numbers in told
            if embed is not None
        ]
        patches = self.embed(latents.flatten(0, 2)).unflatten(0, latents.shape[:3])
        return torch.cat((*beside, patches), dim=2)


def _places(
    frames: int, grid: TokenGrid, *, beside: int, device: torch.device
) -> Int[Tensor, "1 n"]:
    """The id of each token's place; that of a frame's first patch turns by the frame alone."""
    patches = torch.arange(frames * grid.num_tokens, device=device).view(frames, -1)
    return torch.cat((patches[:, :1].expand(-1, beside), patches), dim=1).view(1, -1)
