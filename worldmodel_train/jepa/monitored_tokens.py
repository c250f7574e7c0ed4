"""A bounded sample of latents for the collapse monitors."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from worldmodel_train.types import LatentPair

MONITORED_TOKENS = 4096


def monitored_tokens(
    pairs: Sequence[LatentPair], limit: int = MONITORED_TOKENS
) -> tuple[Float[Tensor, "p d"], Float[Tensor, "p d"]]:
    """Predicted and target latents of at most `limit` tokens, detached, pair by pair.

    Tokens are spread evenly over the valid ones. The host never waits for the device: where
    padding leaves fewer tokens than asked for, some come twice.
    """
    share = max(limit // len(pairs), 1)
    rows = [_spread(pair, share) for pair in pairs]
    predicted = [_flat(pair.predicted)[row] for pair, row in zip(pairs, rows, strict=True)]
    target = [_flat(pair.target)[row] for pair, row in zip(pairs, rows, strict=True)]
    return torch.cat(predicted), torch.cat(target)


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
