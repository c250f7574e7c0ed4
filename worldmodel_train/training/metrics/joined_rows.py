"""Latents of the global batch for the monitors: some of every rank's, all of them together.

The rank of all latents is not the mean of the ranks' own, which knows nothing of directions that
two of them share and cannot exceed what one of them has.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

from worldmodel_train.collectives import num_ranks

MAX_LATENTS = 1024
"""Rows of all ranks together: enough for the rank, under a second of work."""
_NO_ROW = -1.0


@dataclass(frozen=True, kw_only=True)
class JoinedRows:
    """Latents of one name, and the sample that each is of."""

    latents: Float[Tensor, "p d"]
    samples: Float[Tensor, " p"]
    """A number for each sample of the global batch; negative where a row is padding."""

    def to_host(self) -> "JoinedRows":
        """The same on its way to the host's memory, or itself where it is there."""
        return JoinedRows(
            latents=self.latents.to("cpu", non_blocking=True),
            samples=self.samples.to("cpu", non_blocking=True),
        )

    def without_padding(self) -> "JoinedRows":
        """The rows that are some; waits for the device where it is on one."""
        kept = self.samples >= 0
        return JoinedRows(latents=self.latents[kept], samples=self.samples[kept])


def join_rows(
    latents: Mapping[str, Float[Tensor, "_ _"]], samples: Int[Tensor, "_"] | None
) -> dict[str, JoinedRows]:
    """At most `MAX_LATENTS` rows of each name, spread evenly over every rank's, in float32.

    Called by all ranks; only the first one, which reads them, gets any. The exchange is queued on
    the device like those of gradients, so the host does not wait for it.
    """
    return {name: rows for name, some in latents.items() if (rows := _join(some, samples))}


def _join(latents: Float[Tensor, "p d"], samples: Int[Tensor, " p"] | None) -> JoinedRows | None:
    ranks = num_ranks()
    own = _spread(latents, samples, max(MAX_LATENTS // ranks, 1))
    if ranks == 1:
        return own
    names = own.samples * ranks + dist.get_rank()
    share = torch.cat((own.latents, names[:, None]), dim=1)
    padding = max(MAX_LATENTS // ranks, 1) - len(share)  # each rank may have another number of rows
    share = torch.nn.functional.pad(share, (0, 0, 0, padding), value=_NO_ROW)
    joined = share.new_empty(ranks * len(share), share.shape[1])
    dist.all_gather_into_tensor(joined, share.contiguous())
    if dist.get_rank() != 0:
        return None
    return JoinedRows(latents=joined[:, :-1], samples=joined[:, -1])


def _spread(
    latents: Float[Tensor, "p d"], samples: Int[Tensor, " p"] | None, limit: int
) -> JoinedRows:
    """At most `limit` rows; where nobody knows their samples, all are of one."""
    step = -(-len(latents) // limit)
    names = latents.new_zeros(len(latents)) if samples is None else samples
    return JoinedRows(
        latents=latents[::step].detach().float(),
        samples=names[::step].detach().float(),  # exact up to 2^24 samples
    )
