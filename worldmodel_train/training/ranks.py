"""What the ranks of a run tell each other at a reading."""

import torch
import torch.distributed as dist
from jaxtyping import Float64
from torch import Tensor

from worldmodel_train.data.health import Tally


def rows_of_ranks(row: Float64[Tensor, "values"]) -> Float64[Tensor, "ranks values"]:
    """The rows of all ranks, in their order; called by all of them together."""
    if not _several():
        return row[None]
    rows = row.new_zeros(dist.get_world_size(), len(row))
    rows[dist.get_rank()] = row
    dist.all_reduce(rows)
    return rows


def tallies_of_ranks(tally: Tally, device: torch.device) -> list[Tally]:
    """The tallies of all ranks, in their order; called by all of them together.

    One collective over two numbers. The reasons differ between ranks, so they travel as objects,
    and only where a sample was skipped at all.
    """
    row = [tally.good, sum(tally.skipped.values())]
    rows = rows_of_ranks(torch.tensor(row, dtype=torch.float64, device=device)).tolist()
    if not any(skipped for _, skipped in rows):
        return [Tally(good=int(good)) for good, _ in rows]
    if not _several():
        return [tally]
    tallies: list[Tally | None] = [None] * len(rows)
    dist.all_gather_object(tallies, tally)
    return [one for one in tallies if one is not None]


def _several() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1
