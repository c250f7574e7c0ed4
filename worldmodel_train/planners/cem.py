"""The cross-entropy method: draw candidates, fit a Gaussian to the best, draw again."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.elites import better, elites_of, require_more_candidates
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """The search; the defaults are LeWorldModel's (arXiv 2603.19312)."""

    name: Literal["cem"] = "cem"
    horizon: int = Field(default=5, gt=0)
    """Actions of a plan."""
    candidates: int = Field(default=300, gt=1)
    """Plans drawn in each iteration, for each belief."""
    elites: int = Field(default=30, gt=1)
    """The best of them, which the next Gaussian is fitted to."""
    iterations: int = Field(default=30, gt=0)
    """Times that candidates are drawn; each is `horizon` calls of the model."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """How much of the last mean and spread the next ones keep."""
    first_spread: float = Field(default=1.0, gt=0)
    """Standard deviation of the first Gaussian, in halves of the width that bounds allow."""

    @model_validator(mode="after")
    def _elites_are_candidates(self) -> "Config":
        require_more_candidates(self.candidates, self.elites)
        return self

    def build(self, bounds: Bounds) -> "Cem":
        """A planner of actions within `bounds`."""
        return Cem(self, bounds)


class Cem:
    """A `Planner`; candidates of all beliefs go through the model together."""

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
        """The best candidate of all iterations; the mean is always one, so is `warm_start`."""
        mean = self._first_mean(len(belief)) if warm_start is None else warm_start
        spread = (self.config.first_spread * self.bounds.half_width).expand_as(mean)
        best: Plan | None = None
        for _ in range(self.config.iterations):
            candidates = self._draw(mean, spread, generator)
            energies = energy(dynamics.rollout(belief, candidates), candidates)
            elites, lowest = elites_of(candidates, energies, self.config.elites)
            best = better(best, Plan(actions=elites[:, 0], energy=lowest[:, 0]))
            mean = self._blend(mean, elites.mean(dim=1))
            spread = self._blend(spread, elites.std(dim=1, correction=0))
        assert best is not None
        return best

    def _first_mean(self, batch: int) -> Float[Tensor, "b h a"]:
        return self.bounds.middle.expand(batch, self.config.horizon, -1)

    def _draw(
        self,
        mean: Float[Tensor, "b h a"],
        spread: Float[Tensor, "b h a"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, "b s h a"]:
        shape = (len(mean), self.config.candidates, *mean.shape[1:])
        noise = torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
        noise[:, 0] = 0
        return self.bounds.clip(mean[:, None] + spread[:, None] * noise)

    def _blend(
        self, old: Float[Tensor, "b h a"], new: Float[Tensor, "b h a"]
    ) -> Float[Tensor, "b h a"]:
        return torch.lerp(new, old, self.config.momentum)
