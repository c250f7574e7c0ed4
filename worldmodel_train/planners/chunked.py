"""A model that is given candidates a few at a time, so that any number fits into memory."""

from typing import Generic

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.protocols import BeliefT, LatentDynamics


class Chunked(Generic[BeliefT]):
    """A `LatentDynamics` that rolls out at most `most` plans at once, of all beliefs together."""

    def __init__(self, dynamics: LatentDynamics[BeliefT], *, most: int) -> None:
        """Raises ValueError for less than one plan."""
        if most < 1:
            raise ValueError(f"most={most} plans at once; use 1 or more")
        self.dynamics = dynamics
        self.most = most

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"],
        actions: Float[Tensor, "b t-1 a"],
    ) -> BeliefT:
        """The belief at the last observation."""
        return self.dynamics.encode(observations, actions)

    def latent(self, belief: BeliefT) -> Float[Tensor, "b d"]:
        """That of now."""
        return self.dynamics.latent(belief)

    def intervene(self, belief: BeliefT, latent: Float[Tensor, "b d"]) -> BeliefT:
        """The belief with another latent of now."""
        return self.dynamics.intervene(belief, latent)

    def step(self, belief: BeliefT, action: Float[Tensor, "b a"]) -> BeliefT:
        """The belief after one action."""
        return self.dynamics.step(belief, action)

    def rollout(
        self, belief: BeliefT, actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """What the model says; at least one candidate of each belief is looked at a time."""
        size = max(1, self.most // len(belief))
        parts = [self.dynamics.rollout(belief, part) for part in actions.split(size, dim=1)]
        return torch.cat(parts, dim=1)
