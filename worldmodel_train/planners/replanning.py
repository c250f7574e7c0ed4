"""Receding horizon: of each plan a few actions are done, the rest begins the next search."""

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from worldmodel_train.protocols import BeliefT, Energy, LatentDynamics, Planner


class Replanning:
    """Searches again and again, each time from what is left of one's last plan."""

    def __init__(self, planner: Planner, *, seed: int, device: torch.device | str = "cpu") -> None:
        self._planner = planner
        self._generator = torch.Generator(device).manual_seed(seed)
        self._rest: dict[int, Float[Tensor, "h a"]] = {}

    def actions(
        self,
        dynamics: LatentDynamics[BeliefT],
        belief: BeliefT,
        energy: Energy,
        *,
        count: int,
        which: Int[ndarray, "b"] | None = None,
    ) -> Float[Tensor, "b n a"]:
        """The first `count` actions of the next plan; with one who is new all begin from nothing.

        `which` tells whose beliefs these are where it is not always everybody's.
        """
        whose = range(len(belief)) if which is None else which.tolist()
        rest = [self._rest[number] for number in whose if number in self._rest]
        plan = self._planner.plan(
            dynamics,
            belief,
            energy,
            warm_start=torch.stack(rest) if len(rest) == len(belief) else None,
            generator=self._generator,
        )
        self._rest.update(zip(whose, plan.rest(count), strict=True))
        return plan.actions[:, :count]

    def forget(self) -> None:
        """The next search begins from nothing."""
        self._rest.clear()
