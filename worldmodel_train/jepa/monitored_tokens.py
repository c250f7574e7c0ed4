"""A bounded sample of latents for the collapse monitors."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from worldmodel_train.types import LatentPair

MONITORED_TOKENS = 4096


class MonitoredTokens(NamedTuple):
    """Latents of the same tokens as they were predicted and as they are."""

    predicted: Float[Tensor, "p d"]
    target: Float[Tensor, "p d"]
    samples: Int[Tensor, " p"]
    """The sample that each is of, counted through the batch."""


def monitored_tokens(
    groups: Sequence[Sequence[LatentPair]], limit: int = MONITORED_TOKENS
) -> MonitoredTokens:
    """Latents of at most `limit` tokens, detached, pair by pair.

    The pairs of a group are of the same samples, under one mask each. Tokens are spread evenly over
    the valid ones. The host never waits for the device: where padding leaves fewer tokens than
    asked for, some come twice.
    """
    share = max(limit // sum(len(pairs) for pairs in groups), 1)
    taken: list[MonitoredTokens] = []
    first = 0
    for pairs in groups:
        taken += [_take(pair, share, first) for pair in pairs]
        first += len(pairs[0].target)
    return MonitoredTokens(*(torch.cat(parts) for parts in zip(*taken, strict=True)))


def _take(pair: LatentPair, limit: int, first_sample: int) -> MonitoredTokens:
    rows = _spread(pair, limit)
    of_a_sample = pair.target[0, ..., 0].numel()
    return MonitoredTokens(
        predicted=_flat(pair.predicted)[rows],
        target=_flat(pair.target)[rows],
        samples=first_sample + rows // of_a_sample,
    )


def _flat(latents: Float[Tensor, "b g m d"]) -> Float[Tensor, "p d"]:
    return rearrange(latents.detach(), "b g m d -> (b g m) d")


def _spread(pair: LatentPair, limit: int) -> Int[Tensor, " p"]:
    """Rows of at most `limit` valid tokens of one pair."""
    total = pair.target[..., 0].numel()
    count = min(total, limit)
    steps = torch.arange(count, device=pair.target.device)
    if pair.valid is None:
        return steps * total // count
    # Valid rows first, in order; their number stays on the device.
    valid = pair.valid.flatten()
    return valid.byte().argsort(descending=True, stable=True)[steps * valid.sum() // count]
