"""Chooses the devices and the strategy of a run."""

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from worldmodel_train.protocols import AfterStep, HasPhases, Objective
from worldmodel_train.training.config import (
    AutoStrategy,
    DdpStrategy,
    DeepSpeedConfig,
    Fsdp2Strategy,
    SingleStrategy,
    TrainConfig,
)
from worldmodel_train.training.optim import ClipGradConfig
from worldmodel_train.training.strategies.auto import auto_strategy, model_size
from worldmodel_train.training.strategies.processes import Processes
from worldmodel_train.training.strategies.runtime import Chosen, Launch, Runtime, accumulation

logger = logging.getLogger(__name__)


def choose_runtime(
    train: TrainConfig,
    processes: Processes,
    *,
    clip: ClipGradConfig | None,
    build_objective: Callable[[], Objective],
) -> Runtime:
    """The devices and the strategy of a run; `build_objective` is asked for its size alone.

    Raises:
        ValueError: The recipe asks for what this machine or this launch does not have.
    """
    accelerator = _accelerator(train, processes)
    chosen = _resolve(train, processes, accelerator, build_objective)
    if train.compile is True and isinstance(chosen, DeepSpeedConfig) and chosen.zero_stage == 3:
        raise ValueError(
            "train.compile=true does not go with ZeRO 3, which gathers weights inside of what is "
            "compiled; use train.compile=false, train.strategy=fsdp2, or zero_stage 1 or 2"
        )
    if isinstance(chosen, DeepSpeedConfig) and clip is not None and clip.of == "each_part":
        raise ValueError(
            "optim.clip_grad.of=each_part does not go with train.strategy=deepspeed, which clips "
            "all gradients together; use train.strategy=fsdp2 or ddp, or optim.clip_grad.of=all"
        )
    launch = Launch(
        train=train,
        processes=processes,
        accelerator=accelerator,
        chosen=chosen,
    )
    if processes.rank == 0:
        settings = ", ".join(f"{key} {value}" for key, value in chosen.model_dump().items())
        logger.info(
            "training on %d x %s in %s; strategy: %s",
            processes.world_size, accelerator, train.precision, settings.removeprefix("name "),
        )  # fmt: skip
    return launch.runtime()


def refuse_unsuited(
    objective: nn.Module, chosen: Chosen, train: TrainConfig, *, micro_batches: int
) -> None:
    """Raises ValueError where a strategy or an accumulated batch does not suit the objective."""
    name, sharded = type(objective).__name__, isinstance(chosen, DeepSpeedConfig | Fsdp2Strategy)
    if sharded and isinstance(objective, AfterStep):
        raise ValueError(
            f"train.strategy={chosen.name} cuts up weights that {name} changes after each step; "
            "use train.strategy=ddp or single"
        )
    if sharded and isinstance(objective, HasPhases):
        raise ValueError(
            f"train.strategy={chosen.name} takes all weights' step at once, and {name} takes its "
            "own for each phase; use train.strategy=ddp or single"
        )
    if micro_batches > 1 and isinstance(objective, HasPhases):
        raise ValueError(
            f"train.global_batch={train.global_batch} takes {micro_batches} forward passes a step, "
            f"and {name} takes several steps after each; use "
            f"train.global_batch={train.global_batch // micro_batches} or a larger "
            "train.micro_batch"
        )


def refuse_to_act(chosen: Chosen) -> None:
    """Raises ValueError where no rank has all weights, which acting needs."""
    if isinstance(chosen, DeepSpeedConfig | Fsdp2Strategy):
        raise ValueError(
            f"train.strategy={chosen.name} cuts up weights that acting (data/collected) needs "
            "whole; use train.strategy=ddp or single"
        )


def refuse_to_pass_over(objective: nn.Module, chosen: Chosen) -> None:
    """Raises ValueError where a step, once its loss is known, is taken all the same."""
    if isinstance(chosen, DeepSpeedConfig):
        raise ValueError(
            "guard.spikes does not go with train.strategy=deepspeed, which takes every step "
            "itself; use train.strategy=ddp, fsdp2 or single, or guard.spikes=null"
        )
    if isinstance(objective, HasPhases):
        raise ValueError(
            f"guard.spikes looks at one loss a step, and {type(objective).__name__} has several; "
            "use guard.spikes=null"
        )


def _accelerator(train: TrainConfig, processes: Processes) -> Literal["cpu", "gpu"]:
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if train.accelerator == "cpu" or (train.accelerator == "auto" and not visible):
        return "cpu"
    if not visible:
        raise ValueError(
            f"train.accelerator=gpu, but PyTorch {torch.__version__} sees no GPU here; run on a "
            f"machine with one, or use train.accelerator=cpu (slow) or the recipe demo"
        )
    processes.node_gpus(visible)  # raises where there are too few
    if processes.world_size == 1 and visible > 1:
        logger.warning(
            "using 1 of %d GPUs; for all of them start with torchrun --nproc-per-node=%d",
            visible, visible,
        )  # fmt: skip
    return "gpu"


def _resolve(
    train: TrainConfig,
    processes: Processes,
    accelerator: str,
    build_objective: Callable[[], Objective],
) -> Chosen:
    strategy, world_size = train.strategy, processes.world_size
    if isinstance(strategy, SingleStrategy) and world_size > 1:
        raise ValueError(
            f"train.strategy=single, but {world_size} processes were started; use "
            f"train.strategy=auto or start one process"
        )
    if not isinstance(strategy, AutoStrategy):
        return strategy
    if world_size == 1:
        return SingleStrategy()
    if accelerator == "cpu":
        return DdpStrategy()
    choice = auto_strategy(
        model_size(build_objective),
        world_size=world_size,
        precision=train.precision,
        accumulation=accumulation(train.global_batch, train.micro_batch, world_size),
        gpu_bytes=torch.cuda.get_device_properties(0).total_memory,
    )
    if processes.rank == 0:
        logger.info("%s", choice.why)
    return choice.strategy
