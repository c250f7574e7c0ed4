"""Model predictive path integral control: candidates drawn anew around the mean of the best.

The best count by how good they are (Williams et al. 2017), as TD-MPC2 has it (arXiv 2310.16828).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.elites import elites_of, require_more_candidates
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """The search; the defaults are TD-MPC2's."""

    name: Literal["mppi"] = "mppi"
    horizon: int = Field(default=3, gt=0)
    """Actions of a plan."""
    candidates: int = Field(default=512, gt=1)
    """Plans looked at in each iteration, for each belief."""
    elites: int = Field(default=64, gt=1)
    """The best of them, whose weighted mean and spread the next are drawn with."""
    iterations: int = Field(default=6, gt=0)
    """Times that candidates are drawn; each is `horizon` calls of the model."""
    inverse_temperature: PositiveFloat = 0.5
    """Elites are weighted by the exponential of so many times their energy below the least."""
    least_spread: PositiveFloat = 0.05
    """Standard deviation below which none falls, in halves of the width that bounds allow."""
    first_spread: PositiveFloat = 2.0
    """Standard deviation of the first candidates, and the largest, in the same units."""

    @model_validator(mode="after")
    def _elites_are_candidates(self) -> "Config":
        require_more_candidates(self.candidates, self.elites)
        return self

    def build(self, bounds: Bounds) -> "Mppi":
        """A planner of actions within `bounds`."""
        return Mppi(self, bounds)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What the last iteration found."""

    elites: Float[Tensor, "b e h a"]
    weights: Float[Tensor, "b e"]
    """Of each elite; they add up to 1."""
    mean: Float[Tensor, "b h a"]
    """Of the elites, by their weights."""
    spread: Float[Tensor, "b h a"]
    """Their standard deviation, within its limits."""


class Mppi:
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
        """The mean of the last elites, with its own energy."""
        found = self.search(dynamics, belief, energy, warm_start=warm_start, generator=generator)
        mean = found.mean[:, None]
        return Plan(actions=found.mean, energy=energy(dynamics.rollout(belief, mean), mean)[:, 0])

    @torch.no_grad()
    def search(
        self,
        dynamics: LatentDynamics[BeliefT],
        belief: BeliefT,
        energy: Energy,
        *,
        warm_start: Float[Tensor, "b h a"] | None = None,
        proposals: Float[Tensor, "b p h a"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Search:
        """The elites of the last iteration; `proposals` are among the candidates of each."""
        half, config = self.bounds.half_width, self.config
        mean, spread = warm_start, config.first_spread * half
        if mean is None:
            mean = self.bounds.middle.expand(len(belief), config.horizon, -1)
        found: Search | None = None
        for _ in range(config.iterations):
            candidates = self._candidates(mean, spread, proposals, generator)
            found = self._best(candidates, energy(dynamics.rollout(belief, candidates), candidates))
            mean, spread = found.mean, found.spread
        assert found is not None
        return found

    def _candidates(
        self,
        mean: Float[Tensor, "b h a"],
        spread: Float[Tensor, "*#b a"],
        proposals: Float[Tensor, "b p h a"] | None,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "b s h a"]:
        known = [] if proposals is None else [proposals]
        drawn = self.config.candidates - sum(plans.shape[1] for plans in known)
        shape = (len(mean), drawn, *mean.shape[1:])
        noise = torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
        around = mean[:, None] + spread.expand_as(mean)[:, None] * noise
        return torch.cat((*known, self.bounds.clip(around)), dim=1)

    def _best(self, candidates: Float[Tensor, "b s h a"], energies: Float[Tensor, "b s"]) -> Search:
        elites, lowest = elites_of(candidates, energies, self.config.elites)
        weights = (-self.config.inverse_temperature * (lowest - lowest[:, :1])).softmax(dim=1)
        share = weights[..., None, None]
        mean = self.bounds.clip((share * elites).sum(dim=1))  # weights add up to 1, nearly
        spread = (share * (elites - mean[:, None]).square()).sum(dim=1).sqrt()
        half = self.bounds.half_width
        limits = self.config.least_spread * half, self.config.first_spread * half
        return Search(elites=elites, weights=weights, mean=mean, spread=spread.clamp(*limits))
