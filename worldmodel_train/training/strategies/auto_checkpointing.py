"""`train.activation_checkpointing: auto`: the fastest policy whose memory fits.

The strategy is chosen first, from the state alone: sharing the state costs less time than computing
activations again. What the state leaves is then filled with activations.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from worldmodel_train.models.checkpointing import POLICIES, ActivationCheckpointing
from worldmodel_train.models.memory import LAYOUTS, Layout, Sharding
from worldmodel_train.training.config import DeepSpeedConfig, Fsdp2Strategy, TrainConfig
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.strategies.places import Chosen, Place, accumulation

logger = logging.getLogger(__name__)

ROOM = 0.9
"""Share of a GPU's memory that a run may plan with; the rest is for what is not computed."""

MemoryEstimate = Callable[[ActivationCheckpointing, Sharding], int]
"""Bytes at the worst moment of a step."""


def choose_checkpointing(
    train: TrainConfig, place: Place, estimate: MemoryEstimate
) -> ActivationCheckpointing:
    """The recipe's policy, or for `auto` the one for this device; none on a CPU.

    Raises:
        ValueError: Not even `full` fits.
    """
    if train.activation_checkpointing != "auto":
        return train.activation_checkpointing
    policy, why = "none", "train.activation_checkpointing=auto takes none on a CPU"
    if place.accelerator == "gpu":
        sharding = sharding_of(place.chosen, train, place.processes.world_size)
        size = torch.cuda.get_device_properties(place.device).total_memory
        policy, why = auto_checkpointing(estimate, sharding, size)
    if place.processes.rank == 0:
        logger.info("%s", why)
    return policy


def agree_on_checkpointing(policy: ActivationCheckpointing, agreement: Agreement) -> None:
    """Lets all ranks see that they compute the same again; each chose for its own GPU.

    Raises:
        ValueError: They do not; on all ranks.
    """
    chosen = agreement.gather(policy)
    if len(set(chosen)) > 1:
        other = next(rank for rank, found in enumerate(chosen) if found != chosen[0])
        most = POLICIES[max(map(POLICIES.index, chosen))]
        raise ValueError(
            f"train.activation_checkpointing=auto takes {chosen[0]} for the GPU of rank 0, but "
            f"{chosen[other]} for that of rank {other}; use train.activation_checkpointing={most}"
        )


def sharding_of(chosen: Chosen, train: TrainConfig, world_size: int) -> Sharding:
    """How the memory estimate sees a strategy."""
    layout: Layout = "ddp"
    if isinstance(chosen, DeepSpeedConfig):
        layout = LAYOUTS[chosen.zero_stage]
    elif isinstance(chosen, Fsdp2Strategy):
        layout = "zero3"  # shares out as much, and gathers less at once
    several = accumulation(train.global_batch, train.micro_batch, world_size) > 1
    return Sharding(
        layout=layout,
        world_size=world_size,
        gradients="fp32" if several else "bf16",
        offload=isinstance(chosen, DeepSpeedConfig) and chosen.offload == "cpu",
    )


def auto_checkpointing(
    estimate: MemoryEstimate, sharding: Sharding, gpu_bytes: int
) -> tuple[ActivationCheckpointing, str]:
    """The fastest policy that fits, and why, for the log."""
    needs: dict[ActivationCheckpointing, int] = {
        policy: estimate(policy, sharding) for policy in POLICIES
    }
    each = ", ".join(f"{need / 1e9:.3g} GB with {policy}" for policy, need in needs.items())
    room = ROOM * gpu_bytes
    of_gpu = f"{room / 1e9:.3g} GB ({ROOM:.0%} of the GPU)"
    computed = f"a step needs {each} under {sharding.layout}, and {of_gpu} are for it"
    policy = fastest_that_fits(needs, room)
    if policy is None:
        remedy = _more_sharding(estimate, sharding, room)
        raise ValueError(
            f"train.activation_checkpointing=auto: nothing fits: {computed}; {remedy}use a smaller "
            "train.micro_batch, or larger GPUs; `wmt show --memory` computes what would fit"
        )
    return policy, f"train.activation_checkpointing=auto takes {policy}: {computed}"


def fastest_that_fits(
    needs: Mapping[ActivationCheckpointing, int], room: float
) -> ActivationCheckpointing | None:
    """The policy that computes least again, of those that need at most so many bytes."""
    return next((policy for policy in POLICIES if needs[policy] <= room), None)


def _more_sharding(estimate: MemoryEstimate, sharding: Sharding, room: float) -> str:
    """The least sharing out that would fit, as a remedy."""
    stronger = LAYOUTS[LAYOUTS.index(sharding.layout) + 1 :] if sharding.world_size > 1 else ()
    for layout in stronger:
        need = estimate("full", replace(sharding, layout=layout))
        if need <= room:
            strategy = f"{{name: deepspeed, zero_stage: {LAYOUTS.index(layout)}}}"
            return f"use train.strategy={strategy} ({need / 1e9:.3g} GB), "
    return ""
