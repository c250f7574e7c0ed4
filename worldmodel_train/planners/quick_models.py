"""Models that a search goes through faster: rounded to bf16, or compiled."""

from copy import copy
from typing import Generic

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.protocols import BeliefT, LatentDynamics

# of one step: for pasts that grow, for one belief and for many, and for how they lie in memory
_GRAPHS = 32


class InBf16(nn.Module, Generic[BeliefT]):
    """A `LatentDynamics` that computes in bf16 where autocast does; its latents are fp32.

    What is summed over plans, such as an energy, is left to who asks, and stays fp32.
    """

    def __init__(self, dynamics: LatentDynamics[BeliefT]) -> None:
        super().__init__()
        self.dynamics = dynamics

    def encode(
        self,
        observations: UInt8[Tensor, "b t h w c"] | Float[Tensor, "b t d"],
        actions: Float[Tensor, "b t-1 a"],
    ) -> BeliefT:
        """The belief at the last observation."""
        with _bf16(observations.device):
            return self.dynamics.encode(observations, actions)

    def latent(self, belief: BeliefT) -> Float[Tensor, "b d"]:
        """That of now."""
        return self.dynamics.latent(belief).float()

    def intervene(self, belief: BeliefT, latent: Float[Tensor, "b d"]) -> BeliefT:
        """The belief with another latent of now."""
        return self.dynamics.intervene(belief, latent)

    def step(self, belief: BeliefT, action: Float[Tensor, "b a"]) -> BeliefT:
        """The belief after one action."""
        with _bf16(action.device):
            return self.dynamics.step(belief, action)

    def rollout(
        self, belief: BeliefT, actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s h d"]:
        """What the model says; weights are rounded once for all actions."""
        with _bf16(actions.device):
            return self.dynamics.rollout(belief, actions).float()


def compiled(dynamics: LatentDynamics[BeliefT]) -> LatentDynamics[BeliefT]:
    """The same model whose step is a graph, made at its first use, for any number of plans.

    It has the weights of `dynamics`, which stays as it was. A rollout is as many calls of the graph
    as it has actions; a graph of all of them would take as many times as long to make.
    """
    from torch._dynamo import config as dynamo  # takes seconds to import

    dynamo.recompile_limit = max(dynamo.recompile_limit, _GRAPHS)
    twin = copy(dynamics)
    twin.step = torch.compile(twin.step, dynamic=True)
    return twin


def _bf16(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16)
