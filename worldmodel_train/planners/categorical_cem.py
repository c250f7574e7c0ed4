"""The cross-entropy method for actions of which there are a few."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.elites import better, elites_of, require_more_candidates
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """The search; each step of a plan has probabilities of its own."""

    name: Literal["categorical_cem"] = "categorical_cem"
    horizon: int = Field(default=12, gt=0)
    """Actions of a plan."""
    candidates: int = Field(default=256, gt=1)
    """Plans drawn in each iteration, for each belief."""
    elites: int = Field(default=32, gt=0)
    """The best of them, whose shares of actions are the next probabilities."""
    iterations: int = Field(default=8, gt=0)
    """Times that candidates are drawn; each is `horizon` calls of the model."""
    momentum: float = Field(default=0.1, ge=0, lt=1)
    """How much of the last probabilities the next ones keep, so that no action dies out at once."""

    @model_validator(mode="after")
    def _elites_are_candidates(self) -> "Config":
        require_more_candidates(self.candidates, self.elites)
        return self

    def build(self, bounds: Bounds) -> "CategoricalCem":
        """A planner that chooses one number of an action at each step.

        That is then its high, and all others are their low: 1 and 0, or what these are scaled to.
        """
        return CategoricalCem(self, bounds)


class CategoricalCem:
    """A `Planner` of actions that are one-hot; candidates of all beliefs are asked together."""

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
        """The best candidate of all iterations; `warm_start`, of choices, is among the first."""
        config, actions = self.config, len(self.bounds.low)
        chances = self.bounds.low.new_full((len(belief), config.horizon, actions), 1 / actions)
        known, best = warm_start, None
        for _ in range(config.iterations):
            candidates = self._draw(chances, generator)
            if known is not None:
                candidates[:, 0] = known
            energies = energy(dynamics.rollout(belief, candidates), candidates)
            elites, lowest = elites_of(candidates, energies, config.elites)
            best = better(best, Plan(actions=elites[:, 0], energy=lowest[:, 0]))
            chances = torch.lerp(self._chosen(elites).mean(dim=1), chances, config.momentum)
            known = best.actions
        assert best is not None
        return best

    def _draw(
        self, chances: Float[Tensor, "b h a"], generator: torch.Generator | None
    ) -> Float[Tensor, "b s h a"]:
        steps = rearrange(chances, "b h a -> (b h) a")
        drawn = torch.multinomial(
            steps, self.config.candidates, replacement=True, generator=generator
        )
        plans = rearrange(drawn, "(b h) s -> b s h", b=len(chances))
        chosen = one_hot(plans, len(self.bounds.low)).bool()
        return torch.where(chosen, self.bounds.high, self.bounds.low)

    def _chosen(self, plans: Float[Tensor, "b s h a"]) -> Float[Tensor, "b s h a"]:
        """1 for each choice, 0 for all else."""
        return (plans == self.bounds.high).to(plans.dtype)
