"""What a flow between two frames must explain: MC-JEPA's losses of motion (arXiv 2307.12698)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.losses.photometric import photometric_error
from worldmodel_train.losses.smoothness import edge_aware_smoothness
from worldmodel_train.losses.vicreg import covariance_loss, variance_loss
from worldmodel_train.models.flow.warp import is_seen_in_both, warp

_PLACES = 16  # rows and columns of a level whose spread is looked at, at most


class MotionWeights(StrictConfig):
    """How much each loss of motion counts: our choice, the paper's weights are not known to us."""

    regression: float = Field(default=1.0, ge=0)
    """Squared error of one frame's features as moved from the other's, at every level."""
    photometric: float = Field(default=10.0, ge=0)
    """Error of the frame's pixels, as moved from the other frame, where both show them."""
    similarity: float = Field(default=0.85, ge=0, le=1)
    """Share of that which is (1 - SSIM) / 2; the rest is the difference of pixels."""
    smoothness: float = Field(default=1.0, ge=0)
    """Roughness of the flow where the picture has no edge."""
    smoothness_order: Literal[1, 2] = 1
    """1: a flow that changes is rough. 2: one whose change changes."""
    edges: float = Field(default=10.0, ge=0)
    """How soon an edge of the picture excuses one of the flow."""
    cycle: float = Field(default=0.2, ge=0)
    """Squared error of features that are moved to the other frame and back, at every level."""
    variance: float = Field(default=1.0, ge=0)
    """Weight of what the spread of a feature lacks to 1, at every level."""
    covariance: float = Field(default=0.04, ge=0)
    """Weight of the sum of squared covariances over the number of channels, at every level."""

    def weighted(self, terms: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """The sum of all terms."""
        return torch.stack([getattr(self, name) * term for name, term in terms.items()]).sum()


def motion_terms(
    levels: Sequence[Float[Tensor, "b _ _ _"]],
    flows: Sequence[Float[Tensor, "b 2 _ _"]],
    pictures: Float[Tensor, "b c h w"],
    weights: MotionWeights,
) -> dict[str, Float[Tensor, ""]]:
    """Each loss by its weight's name; the finest level is first, and as large as the pictures.

    The second half of the batch are the other frames of the first half, in the same order, so every
    pair is looked at both ways. Pictures are from 0 to 1.
    """
    others = [_swapped(level) for level in levels]
    backs = [_swapped(flow) for flow in flows]
    regression = [
        _distance(warp(other, flow), level)
        for level, other, flow in zip(levels, others, flows, strict=True)
    ]
    cycle = [
        _distance(warp(warp(level, back), flow), level)
        for level, back, flow in zip(levels, backs, flows, strict=True)
    ]
    spread = [_some_places(level) for level in levels]
    error = photometric_error(
        warp(_swapped(pictures), flows[0]), pictures, similarity=weights.similarity
    )
    return {
        "regression": torch.stack(regression).mean(),
        "cycle": torch.stack(cycle).mean(),
        "photometric": _mean_of_each(error, is_seen_in_both(flows[0], backs[0])),
        "smoothness": edge_aware_smoothness(
            flows[0], pictures, order=weights.smoothness_order, edges=weights.edges
        ),
        "variance": torch.stack([variance_loss(rows) for rows in spread]).mean(),
        "covariance": torch.stack(
            [(rows.shape[2] - 1) * covariance_loss(rows) for rows in spread]
        ).mean(),
    }


def _swapped(pairs: Float[Tensor, "b *any"]) -> Float[Tensor, "b *any"]:
    """The other frame of each."""
    return pairs.roll(len(pairs) // 2, dims=0)


def _distance(made: Float[Tensor, "b d h w"], seen: Float[Tensor, "b d h w"]) -> Float[Tensor, ""]:
    return (made - seen).square().mean()


def _mean_of_each(
    error: Float[Tensor, "b h w"], counted: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """The mean over the pixels of a picture that count, then over pictures."""
    sums = (error * counted).sum(dim=(1, 2))
    return (sums / counted.sum(dim=(1, 2)).clamp(min=1)).mean()


def _some_places(level: Float[Tensor, "b d h w"]) -> Float[Tensor, "1 n d"]:
    """Every so many-th place, of all pictures, such that few rows and columns are left."""
    step = -(-max(level.shape[2:]) // _PLACES)
    return rearrange(level[:, :, ::step, ::step], "b d h w -> 1 (b h w) d")
