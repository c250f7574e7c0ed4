"""A policy that searches anew at each step, helped by one that was learned (TD-MPC2)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldmodel_train.models.squashed_gaussian import SquashedGaussian
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.mppi import Config as MppiConfig
from worldmodel_train.protocols import Energy, LatentDynamics


@dataclass(frozen=True, kw_only=True)
class Planning:
    """A `Policy` of actions from -1 to 1; it remembers the mean of its last plans."""

    dynamics: LatentDynamics[Tensor]
    energy: Callable[[Tensor, torch.Generator], Energy]
    """What makes a plan from a latent a good one."""
    policy: SquashedGaussian
    """Draws some of the candidates."""
    planner: MppiConfig
    proposals: int
    """Candidates that the policy draws."""
    noise: float
    """Added to an action, in units of the spread that the search ends with."""

    def act(
        self,
        observation: Float[Tensor, "b o"],
        memory: Float[Tensor, "b h a"] | None,
        *,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b h a"]]:
        """The first action of one of the best plans, drawn by how good they are, and the mean."""
        high = torch.ones(self.policy.actions, device=observation.device)
        nothing_done = observation.new_zeros(len(observation), 0, len(high))
        belief = self.dynamics.encode(observation[:, None], nothing_done)
        found = self.planner.build(Bounds(low=-high, high=high)).search(
            self.dynamics,
            belief,
            self.energy(belief, generator),
            warm_start=memory,
            proposals=self._proposals(belief, generator) if self.proposals else None,
            generator=generator,
        )
        chosen = torch.multinomial(found.weights, 1, generator=generator)[:, 0]
        action = found.elites[torch.arange(len(chosen)), chosen, 0]
        noise = torch.randn(action.shape, generator=generator, device=action.device)
        action = (action + self.noise * found.spread[:, 0] * noise).clamp(-1, 1)
        return action, functional.pad(found.mean[:, 1:], (0, 0, 0, 1))

    def _proposals(
        self, belief: Float[Tensor, "b d"], generator: torch.Generator
    ) -> Float[Tensor, "b p h a"]:
        """What the policy would do, as the model imagines it."""
        now = repeat(belief, "b d -> (b p) d", p=self.proposals)
        actions: list[Tensor] = []
        for _ in range(self.planner.horizon):
            action, _ = self.policy(now, generator)
            now = self.dynamics.step(now, action)
            actions.append(action)
        return rearrange(actions, "h (b p) a -> b p h a", p=self.proposals)


def return_energy(
    belief: Float[Tensor, "b d"],
    *,
    reward: Callable[[Tensor, Tensor], Tensor],
    value: Callable[[Tensor], Tensor],
    discount: float,
) -> Energy:
    """Minus the return of a plan from `belief`: rewards, and the value of where the plan ends.

    `reward` is of latents `b s h d` and the actions in them, `value` of latents `b s d`.
    """

    def energy(
        latents: Float[Tensor, "b s h d"], actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s"]:
        first = repeat(belief, "b d -> b s 1 d", s=latents.shape[1])
        before = torch.cat((first, latents[:, :, :-1]), dim=2)
        weights = discount ** torch.arange(latents.shape[2] + 1, device=latents.device)
        return -(reward(before, actions) @ weights[:-1] + weights[-1] * value(latents[:, :, -1]))

    return energy
