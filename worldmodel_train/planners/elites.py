"""The best of the candidates that a search has drawn."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.protocols import Plan


def require_more_candidates(candidates: int, elites: int) -> None:
    """Raises ValueError where the elites would be all candidates, so that none was chosen."""
    if elites >= candidates:
        raise ValueError(f"elites={elites} are not the best of candidates={candidates}; use fewer")


def elites_of(
    candidates: Float[Tensor, "b s h a"], energies: Float[Tensor, "b s"], count: int
) -> tuple[Float[Tensor, "b e h a"], Float[Tensor, "b e"]]:
    """The `count` candidates of least energy for each belief, best first, and their energies."""
    lowest, order = energies.topk(count, largest=False)
    rows = torch.arange(len(order), device=order.device)[:, None]
    return candidates[rows, order], lowest


def better(old: Plan | None, new: Plan) -> Plan:
    """For each belief the plan of lower energy."""
    if old is None:
        return new
    is_new = new.energy < old.energy
    return Plan(
        actions=torch.where(is_new[:, None, None], new.actions, old.actions),
        energy=torch.where(is_new, new.energy, old.energy),
    )
