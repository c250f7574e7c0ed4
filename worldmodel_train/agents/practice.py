"""Practice in imagination: Mode-1 does better by the cost that Mode-2 makes small, without acting.

What a search looks for anew at each goal, a policy may learn once for all of them (LeCun 2022,
section 3.1.3): the world model has gradients, and so has the cost of where the policy leads.
"""

from collections.abc import Callable
from typing import Generic

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from worldmodel_train.agents.goal_networks import ReactivePolicy
from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.energies import GoalEnergy
from worldmodel_train.protocols import BeliefT, LatentDynamics


class PracticeConfig(StrictConfig):
    """How long and how far."""

    steps: int = Field(default=200, gt=0)
    """Of AdamW."""
    horizon: int = Field(default=12, gt=0)
    """Actions of an imagined episode."""
    rate: PositiveFloat = 1e-3
    """At the start; it falls to 0 in a straight line."""
    clip_grad_norm: PositiveFloat = 1.0


class Practice(Generic[BeliefT]):
    """Imagined episodes of a policy, and what they cost."""

    def __init__(
        self, config: PracticeConfig, *, model: LatentDynamics[BeliefT], energy: GoalEnergy
    ) -> None:
        self.config = config
        self.model = model
        self.energy = energy

    def improve(
        self,
        policy: ReactivePolicy,
        draw: Callable[[], tuple[BeliefT, Float[Tensor, "b d"]]],
    ) -> float:
        """Trains the policy alone, on beliefs and goals that are drawn; the last step's energy."""
        config, weights = self.config, list(policy.parameters())
        optimizer = torch.optim.AdamW(weights, config.rate, weight_decay=1e-4)
        energy = torch.tensor(torch.nan)
        for step in range(config.steps):
            optimizer.param_groups[0]["lr"] = config.rate * (1 - step / config.steps)
            energy = self.cost(policy, *draw())
            optimizer.zero_grad()
            # the model is left as it is, and gets no gradients
            energy.backward(inputs=weights)
            clip_grad_norm_(weights, config.clip_grad_norm)
            optimizer.step()
        return float(energy.detach())

    def cost(
        self, policy: nn.Module, belief: BeliefT, goal: Float[Tensor, "b d"]
    ) -> Float[Tensor, ""]:
        """The mean energy of where the policy leads, which looks again after each action."""
        latents, actions = list[Tensor](), list[Tensor]()
        for _ in range(self.config.horizon):
            actions.append(policy(self.model.latent(belief), goal))
            belief = self.model.step(belief, actions[-1])
            latents.append(self.model.latent(belief))
        return self.energy(goal)(
            torch.stack(latents, dim=1)[:, None], torch.stack(actions, dim=1)[:, None]
        ).mean()
