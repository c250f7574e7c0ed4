"""What an agent remembers of its episodes, in order: latents, actions, costs, and advice."""

from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What Mode-2 would do from now on, and the latents in which it would do it."""

    latents: Float[Tensor, "b n d"]
    actions: Float[Tensor, "b n a"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One look at the worlds that were acted in, and what was done then."""

    latent: Float[Tensor, "b d"]
    goal: Float[Tensor, "b d"]
    cost: Float[Tensor, " b"]
    """Intrinsic."""
    actions: Float[Tensor, "b n a"]
    advice: Advice | None = None


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a network should say of a latent and a goal."""

    latents: Float[Tensor, "n d"]
    goals: Float[Tensor, "n d"]
    targets: Float[Tensor, "n *_"]

    @classmethod
    def joined(cls, parts: "list[Lessons]") -> "Lessons":
        """All of them."""
        return cls(
            latents=torch.cat([part.latents for part in parts]),
            goals=torch.cat([part.goals for part in parts]),
            targets=torch.cat([part.targets for part in parts]),
        )


class ShortTermMemory:
    """The moments of the episode that all worlds are in."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def forget(self) -> None:
        """A new episode begins."""
        self.moments.clear()

    def note(self, moment: Moment) -> None:
        """The next moment."""
        self.moments.append(moment)

    def lessons_of_advice(self) -> Lessons:
        """For a policy: what Mode-2 would have done wherever it was asked, as in `lessons_of`.

        Raises:
            ValueError: It was not asked.
        """
        advised = [(m.goal, m.advice) for m in self.moments if m.advice is not None]
        if not advised:
            raise ValueError("memory holds no advice of Mode-2; act in Mode.PLAN or Mode.LEARN")
        return Lessons.joined([lessons_of(goal, advice) for goal, advice in advised])

    def lessons_of_cost(self, window: int) -> Lessons:
        """For a critic: the mean intrinsic cost of the `window` moments after each.

        Raises:
            ValueError: The episode is not longer than that, or some worlds left it early.
        """
        if window < 1 or len(self.moments) <= window:
            raise ValueError(
                f"window={window} moments after the first, and the episode has "
                f"{len(self.moments)}; use 1 to {len(self.moments) - 1}"
            )
        if len({len(moment.cost) for moment in self.moments}) > 1:
            raise ValueError("some worlds were not acted in to the end; act in all of them")
        costs = torch.stack([moment.cost for moment in self.moments])
        future = costs[1:].unfold(0, window, 1).mean(dim=-1)
        early = self.moments[: len(future)]
        return Lessons(
            latents=torch.cat([moment.latent for moment in early]),
            goals=torch.cat([moment.goal for moment in early]),
            targets=future.flatten(),
        )


def lessons_of(goal: Float[Tensor, "b d"], advice: Advice) -> Lessons:
    """A lesson for each latent of the advice: the action that is done there."""
    return Lessons(
        latents=rearrange(advice.latents, "b n d -> (b n) d"),
        goals=repeat(goal, "b d -> (b n) d", n=advice.actions.shape[1]),
        targets=rearrange(advice.actions, "b n a -> (b n) a"),
    )
