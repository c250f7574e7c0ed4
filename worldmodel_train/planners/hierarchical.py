"""Two searches: a coarse one finds what to pass on the way, a fine one how to get there.

Section 4.7 of "A Path Towards Autonomous Machine Intelligence" (LeCun 2022): what a higher level
predicts is the goal of the level below.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.planners.energies import Distance, nearness
from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Plan, Planner


@dataclass(frozen=True, kw_only=True)
class Hierarchical:
    """A `Planner` of the fine model's actions.

    The energy that it is given judges latents along the coarse plan; the fine plan is to come near
    to the first of these. The coarse model is called once more than its search does, for this one.
    """

    coarse: LatentDynamics[Tensor]
    """Its beliefs are latents of the fine model; each of its actions stands for several."""
    coarse_planner: Planner
    fine_planner: Planner
    distance: Distance
    """Of the fine model's latents to the subgoal."""
    way: float = 0.0
    """Weight of the way to the subgoal beside its end, as in `nearness`."""
    pull: float = 0.0
    """Weight of the given energy beside the subgoal's: a subgoal is only as exact as the coarse
    search, which tells near a goal."""

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
        """Fine actions to the nearest subgoal, and their energy, which is of that and the pull.

        `warm_start` is of fine actions; the coarse search begins anew each time.
        """
        now = dynamics.latent(belief)
        coarse = self.coarse_planner.plan(self.coarse, now, energy, generator=generator)
        subgoal = self.coarse.rollout(now, coarse.actions[:, None, :1])[:, 0, 0]
        near = nearness(subgoal, self.distance, way=self.way)

        def fine_energy(
            latents: Float[Tensor, "b s h d"], actions: Float[Tensor, "b s h a"]
        ) -> Float[Tensor, "b s"]:
            return near(latents, actions) + self.pull * energy(latents, actions)

        return self.fine_planner.plan(
            dynamics,
            belief,
            fine_energy,
            warm_start=warm_start,
            generator=generator,
        )
