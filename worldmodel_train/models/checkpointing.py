"""Activation checkpointing: what a block keeps for its backward pass and what it recomputes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.checkpoint import CheckpointPolicy as Policy
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

ActivationCheckpointing = Literal["none", "selective", "full"]

POLICIES: tuple[ActivationCheckpointing, ...] = ("none", "selective", "full")
"""From the fastest on; each keeps less than the one before it."""


@dataclass(frozen=True, kw_only=True)
class MixedCheckpointing:
    """Two policies in each stack of blocks: `percent` of them, rounded up, take the heavier one.

    They are the first ones. The backward pass reaches these last, when what the others kept is free
    again: what it computes again then adds least to the peak.
    """

    lighter: ActivationCheckpointing
    heavier: ActivationCheckpointing
    """It keeps less, and computes more again."""
    percent: int

    def __post_init__(self) -> None:
        assert 0 < self.percent < 100, "a share of all or nothing is a policy"

    def __str__(self) -> str:
        return (
            f"{self.heavier} for the first {self.percent} % of each stack's blocks, {self.lighter} "
            "for the others"
        )


CheckpointingPlan = ActivationCheckpointing | MixedCheckpointing
"""One policy for all blocks, or two."""


def policies_of(plan: CheckpointingPlan) -> tuple[ActivationCheckpointing, ...]:
    """The policies that a plan uses, the one that keeps most first."""
    return (plan.lighter, plan.heavier) if isinstance(plan, MixedCheckpointing) else (plan,)


def block_policies(plan: CheckpointingPlan, depth: int) -> tuple[ActivationCheckpointing, ...]:
    """The policy of each block of a stack, the first block's first."""
    if not isinstance(plan, MixedCheckpointing):
        return (plan,) * depth
    heavy = -(-plan.percent * depth // 100)  # rounded up: all that was planned is saved
    return (plan.heavier,) * heavy + (plan.lighter,) * (depth - heavy)


# `selective` keeps what is dear to compute, and computes normalisation, GELU and rotation again.
KEPT_OPERATIONS = (
    "aten::mm",
    "aten::addmm",
    "worldmodel_kernels::onednn_linear",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "flash_attn::_flash_attn_forward",
    "worldmodel_kernels::segment_attention",
    "worldmodel_kernels::space_attention",
    "worldmodel_kernels::time_attention",
)


def run_block(
    block: Callable[..., Tensor], inputs: tuple[object, ...], policy: ActivationCheckpointing
) -> Tensor:
    """The block's output; `none` keeps all activations, `full` only the inputs."""
    return _RUNNERS[policy](block, *inputs)


# by name: packages register operators when they are imported, which may be in the first block
def _keep_or_not(_context: object, operation: OpOverload, *_: object, **__: object) -> Policy:
    return Policy.MUST_SAVE if operation.name() in KEPT_OPERATIONS else Policy.PREFER_RECOMPUTE


# Blocks draw no random numbers, so there is no generator state to bring back.
_full = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
_keep_products = partial(
    _full, context_fn=partial(create_selective_checkpoint_contexts, _keep_or_not)
)


def _selective(block: Callable[..., Tensor], tokens: Tensor, *inputs: object) -> Tensor:
    """Casts are not shared with an earlier pass, or computing again would meet one too many."""
    device = tokens.device.type
    with torch.autocast(
        device,
        dtype=torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    ):
        return _keep_products(block, tokens, *inputs)


_RUNNERS: dict[ActivationCheckpointing, Callable[..., Tensor]] = {
    "none": lambda block, *inputs: block(*inputs),
    "selective": _selective,
    "full": _full,
}
