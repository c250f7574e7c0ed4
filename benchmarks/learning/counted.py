"""How often a model is called."""

# ruff: noqa: ANN401  # beliefs are of whatever kind the model's are

from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.protocols import LatentDynamics


class Counted(nn.Module):
    """A `LatentDynamics` that counts the calls of another in rollouts: one a step."""

    def __init__(self, dynamics: LatentDynamics[Any]) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.calls = 0

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"],
        actions: Float[Tensor, "b t-1 a"],
    ) -> Any:
        """The other's belief."""
        return self.dynamics.encode(observations, actions)

    def latent(self, belief: Any) -> Float[Tensor, "b d"]:
        """The other's."""
        return self.dynamics.latent(belief)

    def intervene(self, belief: Any, latent: Float[Tensor, "b d"]) -> Any:
        """The other's."""
        return self.dynamics.intervene(belief, latent)

    def step(self, belief: Any, action: Float[Tensor, "b a"]) -> Any:
        """The other's."""
        return self.dynamics.step(belief, action)

    def rollout(self, belief: Any, actions: Float[Tensor, "b s h a"]) -> Float[Tensor, "b s h d"]:
        """The other's."""
        self.calls += actions.shape[2]
        return self.dynamics.rollout(belief, actions)
