"""The cross-entropy method for actions of which there are a few."""

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from worldmodel_train.config import StrictConfig
from worldmodel_train.planners.elites import better, elites_of, require_more_candidates
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan


class Config(StrictConfig):
    """The search; each step of a plan has probabilities of its own."""

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

    def build(self, actions: int) -> "CategoricalCem":
        """A planner that chooses one of so many actions at each step."""
        return CategoricalCem(self, actions)


class CategoricalCem:
    """A `Planner` of actions that are one-hot; candidates of all beliefs are asked together."""

    def __init__(self, config: Config, actions: int) -> None:
        self.config = config
        self.actions = actions

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
        """The best candidate of all iterations; `warm_start`, one-hot, is among the first."""
        config = self.config
        device = None if generator is None else generator.device
        shape = (len(belief), config.horizon, self.actions)
        chances = torch.full(shape, 1 / self.actions, device=device)
        known, best = warm_start, None
        for _ in range(config.iterations):
            candidates = self._draw(chances, generator)
            if known is not None:
                candidates[:, 0] = known
            energies = energy(dynamics.rollout(belief, candidates), candidates)
            elites, lowest = elites_of(candidates, energies, config.elites)
            best = better(best, Plan(actions=elites[:, 0], energy=lowest[:, 0]))
            chances = torch.lerp(elites.mean(dim=1), chances, config.momentum)
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
        return one_hot(plans, self.actions).to(chances.dtype)
