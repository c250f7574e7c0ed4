"""A small model of where actions lead, for observations that are vectors (TD-MPC2)."""

from dataclasses import dataclass

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.latent_beliefs import LatentBelief
from worldmodel_train.models.normed_mlp import normed_mlp, simplex_mlp


@dataclass(frozen=True, kw_only=True)
class LatentSizes:
    """Channels of each kind."""

    observations: int
    actions: int
    latent: int
    simplex: int
    """Channels of a latent that add up to 1."""
    encoder_width: int
    width: int
    """Hidden channels of all other networks."""
    outputs: int
    """Logits of a reward."""


class LatentModel(LatentBelief, nn.Module):
    """Encoder, dynamics and reward; a `LatentDynamics` whose belief is a latent."""

    def __init__(self, sizes: LatentSizes) -> None:
        super().__init__()
        acted, width = sizes.latent + sizes.actions, sizes.width
        encoder_widths = (sizes.observations, sizes.encoder_width, sizes.latent)
        self.encoder = simplex_mlp(encoder_widths, size=sizes.simplex)
        self.dynamics = simplex_mlp((acted, width, width, sizes.latent), size=sizes.simplex)
        self.reward = normed_mlp((acted, width, width, sizes.outputs))
        last = self.reward[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def encode(
        self, observations: Float[Tensor, "b t o"], actions: Float[Tensor, "b t-1 a"]
    ) -> Float[Tensor, "b d"]:
        """The latent of the last observation, by itself."""
        del actions
        return self.encoder(observations[:, -1])

    def step(
        self, belief: Float[Tensor, "*b d"], action: Float[Tensor, "*b a"]
    ) -> Float[Tensor, "*b d"]:
        """The latent after one action."""
        return self.dynamics(torch.cat((belief, action), dim=-1))

    def rollout(
        self, belief: Float[Tensor, "b d"], actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """The latent after each action, for `s` candidates of each belief."""
        now = repeat(belief, "b d -> b s d", s=actions.shape[1])
        latents: list[Tensor] = []
        for action in actions.unbind(dim=2):
            now = self.step(now, action)
            latents.append(now)
        return torch.stack(latents, dim=2)

    def reward_logits(
        self, latents: Float[Tensor, "*b d"], actions: Float[Tensor, "*b a"]
    ) -> Float[Tensor, "*b o"]:
        """What actions in these latents bring."""
        return self.reward(torch.cat((latents, actions), dim=-1))
