"""Random shooting: the best of plans drawn evenly; what any search must beat."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """How many plans are drawn."""

    name: Literal["random_shooting"] = "random_shooting"
    horizon: int = Field(default=5, gt=0)
    """Actions of a plan."""
    candidates: int = Field(default=300, gt=1)
    """Plans drawn for each belief."""

    def build(self, bounds: Bounds) -> "RandomShooting":
        """A planner of actions within `bounds`."""
        return RandomShooting(self, bounds)


class RandomShooting:
    """A `Planner` that looks once."""

    def __init__(self, config: Config, bounds: Bounds) -> None:
        self.config = config
        self.bounds = bounds

    @torch.no_grad()
    def plan(
        self,
        dynamics: LatentDynamics[BeliefT],
        belief: BeliefT,
        energy: Energy,
        *,
        warm_start: Float[Tensor, "b h a"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Plan:
        """The best of the plans that were drawn; `warm_start` is one more."""
        low, high = self.bounds.low, self.bounds.high
        shape = (len(belief), self.config.candidates, self.config.horizon, len(low))
        drawn = torch.rand(shape, generator=generator, dtype=low.dtype, device=low.device)
        candidates = low + (high - low) * drawn
        if warm_start is not None:
            candidates = torch.cat((candidates, self.bounds.clip(warm_start)[:, None]), dim=1)
        energies, best = energy(dynamics.rollout(belief, candidates), candidates).min(dim=1)
        rows = torch.arange(len(best), device=best.device)
        return Plan(actions=candidates[rows, best], energy=energies)
