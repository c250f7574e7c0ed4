"""A world model of the second level: where a latent is after an action was held for a while."""

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.beliefs import roll_out
from worldmodel_train.models.latent_beliefs import SeenLatent
from worldmodel_train.models.normed_mlp import normed_mlp


class CoarseDynamics(SeenLatent, nn.Module):
    """A `LatentDynamics` on latents of another, which are its beliefs; one step stands for several.

    What a step stands for is decided by what it learns from: latents so many steps apart, and the
    one action held between them, or the mean of several.
    """

    def __init__(self, *, latents: int, actions: int, width: int = 256) -> None:
        super().__init__()
        self.change = normed_mlp((latents + actions, width, width, latents))

    def forward(
        self, latents: Float[Tensor, "b d"], actions: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b d"]:
        """The latents one coarse step on."""
        return latents + self.change(torch.cat((latents, actions), dim=-1))

    def step(
        self, belief: Float[Tensor, "b d"], action: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b d"]:
        """The latent after one coarse action."""
        return self(belief, action)

    def rollout(
        self, belief: Float[Tensor, "b d"], actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The latent after each coarse action."""
        return roll_out(self, repeat(belief, "b d -> (b s) d", s=actions.shape[1]), actions)
