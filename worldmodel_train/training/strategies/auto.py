"""`train.strategy: auto`: the simplest strategy under which the state leaves room to compute."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from worldmodel_train.models.memory import LAYOUTS, Layout, Precision, state_bytes
from worldmodel_train.protocols import Objective
from worldmodel_train.training.config import DdpStrategy, DeepSpeedConfig

STATE_SHARE = 0.4
"""Of a GPU's memory that the state may take; the rest is for activations."""

_STRATEGIES: dict[Layout, DdpStrategy | DeepSpeedConfig] = {
    "ddp": DdpStrategy(),
    "zero1": DeepSpeedConfig(zero_stage=1),
    "zero2": DeepSpeedConfig(zero_stage=2),
    "zero3": DeepSpeedConfig(zero_stage=3),
}


class ModelSize(NamedTuple):
    """Parameters that are trained, and those that follow."""

    trained: int
    teacher: int


class AutoChoice(NamedTuple):
    """The strategy, and why, for the log."""

    strategy: DdpStrategy | DeepSpeedConfig
    why: str


def model_size(build: Callable[[], Objective]) -> ModelSize:
    """The size of the objective that `build` makes; its weights are never drawn."""
    with torch.device("meta"):
        objective = build()
    assert isinstance(objective, nn.Module)
    sizes = [(p.requires_grad, p.numel()) for p in objective.parameters()]
    return ModelSize(
        trained=sum(size for trained, size in sizes if trained),
        teacher=sum(size for trained, size in sizes if not trained),
    )


def auto_strategy(
    size: ModelSize, *, world_size: int, precision: Precision, accumulation: int, gpu_bytes: int
) -> AutoChoice:
    """DDP where the state takes at most 40 % of a GPU, else the lowest stage of ZeRO that does."""
    room = STATE_SHARE * gpu_bytes
    needs: dict[Layout, int] = {
        layout: state_bytes(
            *size,
            layout=layout,
            world_size=world_size,
            precision=precision,
            gradients="fp32" if accumulation > 1 else precision,
        ).total
        for layout in LAYOUTS
    }
    chosen: Layout = "zero3"
    for layout in reversed(LAYOUTS):
        if needs[layout] <= room:
            chosen = layout
    each = ", ".join(f"{need / 1e9:.3g} GB under {layout}" for layout, need in needs.items())
    why = (
        f"train.strategy=auto takes {chosen}: weights, gradients, moments and teacher need {each} "
        f"on each of {world_size} GPUs, where {room / 1e9:.3g} GB ({STATE_SHARE:.0%}) are for them"
    )
    return AutoChoice(_STRATEGIES[chosen], why)
