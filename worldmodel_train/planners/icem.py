"""The cross-entropy method made for control: slow noise, kept elites, ever fewer candidates.

iCEM (Pinneri et al., arXiv 2008.06389). From one step of control to the next only the mean is
carried on, as the `warm_start`; the paper carries some of the elites, too.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.coloured_noise import coloured_noise
from worldmodel_train.planners.elites import better, elites_of, require_more_candidates
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """The search; the defaults are the paper's, but for the horizon."""

    name: Literal["icem"] = "icem"
    horizon: int = Field(default=12, gt=0)
    """Actions of a plan."""
    candidates: int = Field(default=128, gt=1)
    """Plans drawn in the first iteration, for each belief."""
    shrink: float = Field(default=1.25, ge=1)
    """Each iteration draws so many times fewer than the one before, at least twice the elites."""
    elites: int = Field(default=10, gt=1)
    """The best candidates, which the next Gaussian is fitted to."""
    kept: float = Field(default=0.3, ge=0, le=1)
    """Share of the elites that are candidates of the next iteration again."""
    iterations: int = Field(default=3, gt=0)
    """Times that candidates are drawn; each is `horizon` calls of the model."""
    noise_exponent: NonNegativeFloat = 2.0
    """How slowly candidates' actions change: 0 is anew at each step, 2 as a random walk."""
    momentum: float = Field(default=0.1, ge=0, lt=1)
    """How much of the last mean and spread the next ones keep."""
    first_spread: float = Field(default=0.5, gt=0)
    """Standard deviation of the first Gaussian, in halves of the width that bounds allow."""

    @model_validator(mode="after")
    def _elites_are_candidates(self) -> "Config":
        require_more_candidates(self.candidates, self.elites)
        return self

    def drawn_in(self, iteration: int) -> int:
        """Candidates that an iteration draws, 0 being the first."""
        return max(int(self.candidates * self.shrink**-iteration), 2 * self.elites)

    def build(self, bounds: Bounds) -> "ICem":
        """A planner of actions within `bounds`."""
        return ICem(self, bounds)


class ICem:
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
        """The best candidate of all iterations.

        The first mean, `warm_start` where it is given, is a candidate; so is the last one.
        """
        config = self.config
        mean = self._first_mean(len(belief)) if warm_start is None else self.bounds.clip(warm_start)
        spread = (config.first_spread * self.bounds.half_width).expand_as(mean)
        kept, best = mean[:, None], None
        for iteration in range(config.iterations):
            drawn = self._draw(mean, spread, config.drawn_in(iteration), generator)
            if iteration == config.iterations - 1:
                drawn[:, 0] = self.bounds.clip(mean)
            candidates = torch.cat((kept, drawn), dim=1)
            energies = energy(dynamics.rollout(belief, candidates), candidates)
            elites, lowest = elites_of(candidates, energies, config.elites)
            best = better(best, Plan(actions=elites[:, 0], energy=lowest[:, 0]))
            kept = elites[:, : round(config.kept * config.elites)]
            mean = torch.lerp(elites.mean(dim=1), mean, config.momentum)
            spread = torch.lerp(elites.std(dim=1, correction=0), spread, config.momentum)
        assert best is not None
        return best

    def _first_mean(self, batch: int) -> Float[Tensor, "b h a"]:
        return self.bounds.middle.expand(batch, self.config.horizon, -1)

    def _draw(
        self,
        mean: Float[Tensor, "b h a"],
        spread: Float[Tensor, "b h a"],
        count: int,
        generator: torch.Generator | None,
    ) -> Float[Tensor, "b s h a"]:
        noise = coloured_noise(
            (len(mean), count, *mean.shape[1:]),
            self.config.noise_exponent,
            like=mean,
            generator=generator,
        )
        return self.bounds.clip(mean[:, None] + spread[:, None] * noise)
