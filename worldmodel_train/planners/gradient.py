"""Descends the energy by its gradient in the actions, from several plans at once."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.elites import better, elites_of
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """Adam's steps on the actions themselves; what leaves the bounds is put back onto them."""

    name: Literal["gradient"] = "gradient"
    horizon: int = Field(default=5, gt=0)
    """Actions of a plan."""
    restarts: int = Field(default=8, gt=0)
    """Plans that descend, for each belief; the first from the middle or the warm start."""
    iterations: int = Field(default=40, gt=0)
    """Steps; each is `horizon` calls of the model, forwards and backwards."""
    rate: PositiveFloat = 0.1
    """Adam's learning rate, in halves of the width that bounds allow."""

    def build(self, bounds: Bounds) -> "GradientDescent":
        """A planner of actions within `bounds`."""
        return GradientDescent(self, bounds)


class GradientDescent:
    """A `Planner` for models that gradients go through; nothing of the model is changed."""

    def __init__(self, config: Config, bounds: Bounds) -> None:
        self.config = config
        self.bounds = bounds

    def plan(
        self,
        dynamics: LatentDynamics[BeliefT],
        belief: BeliefT,
        energy: Energy,
        *,
        warm_start: Float[Tensor, "b h a"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """The best plan that was met on the way, so never worse than `warm_start`."""
        half, middle = self.bounds.half_width, self.bounds.middle
        # in halves of the width, so that one rate suits all actions
        scaled = self._first(len(belief), warm_start, generator).requires_grad_()
        adam, best = torch.optim.Adam([scaled], lr=self.config.rate), None
        for _ in range(self.config.iterations + 1):
            with torch.enable_grad():
                actions = middle + half * scaled
                energies = energy(dynamics.rollout(belief, actions), actions)
                # the sum has for each plan the gradient of its own energy
                (scaled.grad,) = torch.autograd.grad(energies.sum(), scaled)
            elites, lowest = elites_of(actions.detach(), energies.detach(), 1)
            best = better(best, Plan(actions=elites[:, 0], energy=lowest[:, 0]))
            adam.step()
            with torch.no_grad():
                scaled.clamp_(-1, 1)
        assert best is not None
        return best

    def _first(
        self,
        batch: int,
        warm_start: Float[Tensor, "b h a"] | None,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "b s h a"]:
        """Plans drawn evenly, one of them the middle or the warm start; from -1 to 1."""
        low, config = self.bounds.low, self.config
        shape = (batch, config.restarts, config.horizon, len(low))
        drawn = torch.rand(shape, generator=generator, dtype=low.dtype, device=low.device)
        plans = 2 * drawn - 1
        plans[:, 0] = 0
        if warm_start is not None:
            half = self.bounds.half_width
            off_middle = self.bounds.clip(warm_start) - self.bounds.middle
            plans[:, 0] = off_middle / half.where(half > 0, 1)  # what is fixed is in the middle
        return plans
