"""`train.activation_checkpointing: auto`: the fastest policies whose memory fits.

The strategy is chosen first, from the state alone: sharing the state costs less time than computing
activations again. What the state leaves is then filled with activations: where one policy does not
fit and the next one does, only as many blocks as needed take the next one.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch

from worldmodel_train.models.checkpointing import (
    POLICIES,
    CheckpointingPlan,
    MixedCheckpointing,
    policies_of,
)
from worldmodel_train.models.cost import HasMemory, StepCost
from worldmodel_train.models.memory import LAYOUTS, Layout, Sharding
from worldmodel_train.training.config import DeepSpeedConfig, Fsdp2Strategy, TrainConfig
from worldmodel_train.training.ranks.agreement import Agreement
from worldmodel_train.training.strategies.runtime import Chosen, Runtime, accumulation

logger = logging.getLogger(__name__)

ROOM = 0.9
"""Share of a GPU's memory that a run may plan with; the rest is for what is not computed."""

GB = 10**9

MemoryEstimate = Callable[[CheckpointingPlan, Sharding], int]
"""Bytes at the worst moment of a step."""


def choose_checkpointing(
    train: TrainConfig, runtime: Runtime, cost: StepCost | None
) -> CheckpointingPlan:
    """The recipe's policy, or for `auto` the plan for this device; none on a CPU.

    Raises:
        ValueError: Not even `full` fits, or the method does not say what it needs.
    """
    if train.activation_checkpointing != "auto":
        return train.activation_checkpointing
    plan, why = "none", "train.activation_checkpointing=auto takes none on a CPU"
    if runtime.accelerator == "gpu":
        if not isinstance(cost, HasMemory):
            raise ValueError(
                "train.activation_checkpointing=auto needs a method that says what memory it "
                "takes, and this one does not; use none, selective or full"
            )
        sharding = sharding_of(runtime.chosen, train, runtime.processes.world_size)
        size = torch.cuda.get_device_properties(runtime.device).total_memory
        # GPUs alike may differ by the megabytes that their drivers take, and must choose alike
        plan, why = auto_checkpointing(_estimate(cost, train), sharding, size // GB * GB)
    if runtime.processes.rank == 0:
        logger.info("%s", why)
    return plan


def _estimate(cost: HasMemory, train: TrainConfig) -> MemoryEstimate:
    return lambda plan, sharding: cost.memory(plan, sharding, train.precision).total


def agree_on_checkpointing(plan: CheckpointingPlan, agreement: Agreement) -> None:
    """Lets all ranks see that they compute the same again; each chose for its own GPU.

    Raises:
        ValueError: They do not; on all ranks.
    """
    chosen: list[CheckpointingPlan] = agreement.gather(plan)
    if len(set(chosen)) > 1:
        other = next(rank for rank, found in enumerate(chosen) if found != chosen[0])
        most = max((policies_of(found)[-1] for found in chosen), key=POLICIES.index)
        raise ValueError(
            f"train.activation_checkpointing=auto takes, for the GPU of rank 0, {chosen[0]}; but "
            f"for that of rank {other}, {chosen[other]}; use train.activation_checkpointing={most}"
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
) -> tuple[CheckpointingPlan, str]:
    """The fastest plan that fits, and why, for the log."""
    room = ROOM * gpu_bytes
    estimate = cache(estimate)
    plan = fastest_that_fits(estimate, sharding, room)
    needs = [f"{estimate(policy, sharding) / GB:.3g} GB with {policy}" for policy in POLICIES]
    if isinstance(plan, MixedCheckpointing):
        needs.insert(0, f"{estimate(plan, sharding) / GB:.3g} GB so")
    of_gpu = f"{room / GB:.3g} GB ({ROOM:.0%} of the GPU)"
    computed = f"a step needs {', '.join(needs)} under {sharding.layout}, and {of_gpu} are for it"
    if plan is None:
        remedy = _more_sharding(estimate, sharding, room)
        raise ValueError(
            f"train.activation_checkpointing=auto: nothing fits: {computed}; {remedy}use a smaller "
            "train.micro_batch, or larger GPUs; `wmt show --memory` computes what would fit"
        )
    return plan, f"train.activation_checkpointing=auto takes {plan}: {computed}"


def fastest_that_fits(
    estimate: MemoryEstimate, sharding: Sharding, room: float
) -> CheckpointingPlan | None:
    """The plan that computes least again, of those that need at most so many bytes."""
    fits = [estimate(policy, sharding) <= room for policy in POLICIES]
    if not any(fits):
        return None
    if fits[0]:
        return POLICIES[0]
    lighter, heavier = POLICIES[fits.index(True) - 1 :][:2]
    # each block with the heavier policy takes less, so the least share is found by halving
    shares = [
        MixedCheckpointing(lighter=lighter, heavier=heavier, percent=percent)
        for percent in range(1, 100)
    ]
    least = bisect_left(shares, x=True, key=lambda share: estimate(share, sharding) <= room)
    return shares[least] if least < len(shares) else heavier


def _more_sharding(estimate: MemoryEstimate, sharding: Sharding, room: float) -> str:
    """The least sharing out that would fit, as a remedy."""
    stronger = LAYOUTS[LAYOUTS.index(sharding.layout) + 1 :] if sharding.world_size > 1 else ()
    for layout in stronger:
        need = estimate("full", replace(sharding, layout=layout))
        if need <= room:
            strategy = f"{{name: deepspeed, zero_stage: {LAYOUTS.index(layout)}}}"
            return f"use train.strategy={strategy} ({need / GB:.3g} GB), "
    return ""
