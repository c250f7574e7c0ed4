"""The best of the candidates that a search has drawn."""

from jaxtyping import Float
from torch import Tensor, arange


def elites_of(
    candidates: Float[Tensor, "b s h a"], energies: Float[Tensor, "b s"], count: int
) -> tuple[Float[Tensor, "b e h a"], Float[Tensor, "b e"]]:
    """The `count` candidates of least energy for each belief, best first, and their energies."""
    lowest, order = energies.topk(count, largest=False)
    return candidates[arange(len(order), device=order.device)[:, None], order], lowest
