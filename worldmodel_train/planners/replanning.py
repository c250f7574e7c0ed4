"""Receding horizon: of each plan a few actions are done, the rest begins the next search."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Planner


class Replanning:
    """Searches again and again, each time from what is left of the last plan."""

    def __init__(self, planner: Planner, *, seed: int) -> None:
        self._planner = planner
        self._generator = torch.Generator().manual_seed(seed)
        self._rest: Tensor | None = None

    def actions(
        self, dynamics: LatentDynamics[BeliefT], belief: BeliefT, energy: Energy, *, count: int
    ) -> Float[Tensor, "b n a"]:
        """The first `count` actions of the next plan."""
        plan = self._planner.plan(
            dynamics, belief, energy, warm_start=self._rest, generator=self._generator
        )
        self._rest = plan.rest(count)
        return plan.actions[:, :count]

    def forget(self) -> None:
        """The next search begins from nothing."""
        self._rest = None
