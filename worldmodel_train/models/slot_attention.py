"""Slot attention: a few slots share out what is seen, each pixel to who explains it best.

Locatello et al. 2020 (arXiv 2006.15055): slots compete for each feature, which is what a softmax
over slots is, and each is moved by the mean of the features that it has won.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from worldmodel_train.models.flops import Flops
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.layer_norm import LayerNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.projection_head import head_forward

_LEAST_SHARE = 1e-8  # of a slot that has won nothing
_SLOWLY = 2.0  # of a gate: sigmoid(2) of a slot stays


def slot_attention_forward(
    width: int, *, slots: int, features: int, frames: int, rounds: int
) -> Flops:
    """Of slots that look at so many features of each frame, in so many rounds in all of them.

    Their MLP is twice as wide as they are.
    """
    gates = head_forward((width, 6 * width))
    each = head_forward((width, width)).plus(gates).plus(head_forward((width, 2 * width, width)))
    shared = Flops(attention=4.0 * width * slots * features)
    seen = head_forward((width, 2 * width)).times(features * frames)
    return seen.plus(each.times(slots).plus(shared).times(rounds))


class SlotAttention(nn.Module):
    """Slots and features to slots; slots that are given in another order come in that order."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.norm_features = LayerNorm(width)
        self.norm_slots = LayerNorm(width)
        self.queries = Linear(width, width, bias=False)
        self.keys = Linear(width, width, bias=False)
        self.values = Linear(width, width, bias=False)
        self.update = nn.GRUCell(width, width)
        self.mlp = nn.Sequential(
            LayerNorm(width), Linear(width, mlp_width), nn.ReLU(), Linear(mlp_width, width)
        )
        self._begin_as_means(width)

    def forward(
        self, slots: Float[Tensor, "b s d"], features: Float[Tensor, "b n d"], iterations: int
    ) -> tuple[Float[Tensor, "b s d"], Float[Tensor, "b s n"]]:
        """The slots after so many rounds, and their shares of the features in the last one."""
        seen = self.norm_features(features.flatten(0, 1))
        keys, values = (part(seen).view(features.shape) for part in (self.keys, self.values))
        shares = torch.empty(0)
        for _ in range(iterations):
            shares = self.shares(slots, keys)
            won = shares.to(values.dtype) @ values
            flat = self.update(won.flatten(0, 1), slots.flatten(0, 1))
            slots = (flat + self.mlp(flat)).unflatten(0, slots.shape[:2])
        return slots, shares

    def _begin_as_means(self, width: int) -> None:
        """Untrained rounds are those of soft k-means: alike is near, and slots move slowly.

        Slots that begin at random maps of each other take thousands of steps to part.
        """
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.orthogonal_(self.keys.weight)
        with torch.no_grad():
            self.queries.weight.copy_(self.keys.weight)
            self.update.bias_hh[width : 2 * width] += _SLOWLY
            last.weight.zero_()

    def shares(
        self, slots: Float[Tensor, "b s d"], keys: Float[Tensor, "b n d"]
    ) -> Float[Tensor, "b s n"]:
        """The weight of each feature in what a slot is moved by; they add up to 1 for each slot."""
        queries = self.queries(self.norm_slots(slots.flatten(0, 1))).view(slots.shape)
        likeness = (queries @ rearrange(keys, "b n d -> b d n")).float() * keys.shape[-1] ** -0.5
        won = likeness.softmax(dim=1) + _LEAST_SHARE
        return won / won.sum(dim=2, keepdim=True)


def unlike_each_other(features: Float[Tensor, "b n d"], slots: int) -> Float[Tensor, "b s d"]:
    """Features to begin from: the one most like the mean, then each time the one least like these.

    Usually one of the background, then one of each thing.
    """
    with torch.no_grad():
        apart = (features - features.mean(dim=1, keepdim=True)).square().sum(dim=-1)
        chosen = [apart.argmin(dim=1, keepdim=True)]
        nearest = torch.full_like(apart, torch.inf)
        for _ in range(slots - 1):
            last = gather_tokens(features, chosen[-1])
            nearest = torch.minimum(nearest, (features - last).square().sum(dim=-1))
            chosen.append(nearest.argmax(dim=1, keepdim=True))
    return gather_tokens(features, torch.cat(chosen, dim=1))


def pixel_places(
    height: int, width: int, device: torch.device | None = None
) -> Float[Tensor, "n 2"]:
    """The middles of all pixels, from -1 to 1: across, then down; rows one after the other."""
    down = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
    across = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
    grid = torch.meshgrid(down, across, indexing="ij")
    return torch.stack((grid[1], grid[0]), dim=-1).flatten(0, 1)
