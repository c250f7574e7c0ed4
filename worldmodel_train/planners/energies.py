"""Energies: how far what a plan leads to is from a goal."""

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from worldmodel_train.protocols import Energy

Distance: TypeAlias = Literal["l1", "l2", "cosine"]
Apart: TypeAlias = Callable[
    [Float[Tensor, "b s h d"], Float[Tensor, "b 1 1 d"]], Float[Tensor, "b s h"]
]
"""How far latents are from a goal's, by a measure that has no name."""
Counted: TypeAlias = Literal["end", "nearest"]
GoalEnergy: TypeAlias = Callable[[Float[Tensor, "b d"]], Energy]
"""What makes a plan a good one, given the latents of goals."""


def nearness(
    goal: Float[Tensor, "b d"],
    distance: Distance | Apart,
    *,
    counted: Counted = "end",
    way: float = 0.0,
) -> Energy:
    """The distance to the goal's latent of a plan's last or nearest one, and `way` times the mean.

    `l1` is the mean absolute difference, `l2` the mean squared one, `cosine` 1 less the cosine.
    Where the `end` alone has a say, as is usual, a plan need not set out before it must, and who
    plans again and again may never do; `nearest` lets a plan arrive at any time and go on.
    """
    apart = distance if callable(distance) else partial(_distance, distance=distance)

    def energy(
        latents: Float[Tensor, "b s h d"], _actions: Float[Tensor, "b s h a"]
    ) -> Float[Tensor, "b s"]:
        each = apart(latents, goal[:, None, None])
        chosen = each[..., -1] if counted == "end" else each.amin(dim=-1)
        return chosen + way * each.mean(dim=-1)

    return energy


def _distance(
    latents: Float[Tensor, "b s h d"], goal: Float[Tensor, "b 1 1 d"], distance: Distance
) -> Float[Tensor, "b s h"]:
    match distance:
        case "l1":
            return (latents - goal).abs().mean(dim=-1)
        case "l2":
            return (latents - goal).square().mean(dim=-1)
        case "cosine":
            return 1 - cosine_similarity(latents, goal, dim=-1)
