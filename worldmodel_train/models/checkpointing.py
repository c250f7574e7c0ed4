"""Activation checkpointing: what a block keeps for its backward pass and what it recomputes."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

import worldmodel_kernels.linear.op  # noqa: F401 - registers the operator that is named below

ActivationCheckpointing = Literal["none", "selective", "full"]

POLICIES: tuple[ActivationCheckpointing, ...] = ("none", "selective", "full")
"""From the fastest on; each keeps less than the one before it."""

# `selective` keeps what is dear to compute, and computes normalisation, GELU and rotation again.
KEPT_OPERATIONS = (
    "aten::mm",
    "aten::addmm",
    "worldmodel_kernels::onednn_linear",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
)


def run_block(
    block: Callable[..., Tensor], inputs: tuple[object, ...], policy: ActivationCheckpointing
) -> Tensor:
    """The block's output; `none` keeps all activations, `full` only the inputs."""
    return _RUNNERS[policy](block, *inputs)


def _operator(name: str) -> OpOverload:
    namespace, operation = name.split("::")
    return getattr(getattr(torch.ops, namespace), operation).default


# Blocks draw no random numbers, so there is no generator state to bring back.
_full = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
_keep_products = partial(
    _full,
    context_fn=partial(
        create_selective_checkpoint_contexts, [_operator(name) for name in KEPT_OPERATIONS]
    ),
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
