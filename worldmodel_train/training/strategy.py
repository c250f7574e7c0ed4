"""On how many processes and on which devices a run trains.

This is where a sharded strategy (DeepSpeed ZeRO, FSDP2) comes in: a further value of
`train.strategy`, a further branch of `_strategy`, and beside it a replacement for `ema.Ema` and for
the two functions of `run_state.py`. Nothing else knows how parameters are laid out.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy

from worldmodel_train.training.config import TrainConfig
from worldmodel_train.training.processes import Processes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the Trainer runs."""

    processes: Processes
    accelerator: Literal["cpu", "gpu"]
    strategy: Strategy
    precision: Literal["bf16-mixed", "32-true"]


def accumulation(global_batch: int, micro_batch: int, world_size: int) -> int:
    """Forward passes per optimizer step and process.

    Raises:
        ValueError: The global batch cannot be split evenly; names the nearest values that can.
    """
    together = micro_batch * world_size
    if global_batch % together == 0:
        return global_batch // together
    below, above = global_batch // together * together, -(-global_batch // together) * together
    batches = " or ".join(str(n) for n in (below, above) if n)
    problem = (
        f"train.global_batch={global_batch} is not a multiple of train.micro_batch={micro_batch} "
        f"x {world_size} processes = {together}; use train.global_batch={batches}"
    )
    if global_batch % world_size == 0:
        share = global_batch // world_size
        nearest = max(n for n in range(1, min(micro_batch, share) + 1) if share % n == 0)
        problem += f", or train.micro_batch={nearest}"
    raise ValueError(problem)


def choose_place(train: TrainConfig, processes: Processes) -> Place:
    """The devices, strategy and precision of a run.

    Raises:
        ValueError: The recipe asks for what this machine or this launch does not have.
    """
    accelerator = _accelerator(train, processes)
    place = Place(
        processes=processes,
        accelerator=accelerator,
        strategy=_strategy(train, processes, accelerator),
        precision="bf16-mixed" if train.precision == "bf16" else "32-true",
    )
    if processes.rank == 0:
        logger.info(
            "training on %d x %s, %s, %s",
            processes.world_size, accelerator, type(place.strategy).__name__, place.precision,
        )  # fmt: skip
    return place


def _accelerator(train: TrainConfig, processes: Processes) -> Literal["cpu", "gpu"]:
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if train.accelerator == "cpu" or (train.accelerator == "auto" and not visible):
        return "cpu"
    if not visible:
        raise ValueError(
            f"train.accelerator=gpu, but PyTorch {torch.__version__} sees no GPU here; run on a "
            f"machine with one, or use train.accelerator=cpu (slow) or the recipe demo"
        )
    if processes.per_node > visible:
        raise ValueError(
            f"{processes.per_node} processes were started on a node with {visible} GPUs; start "
            f"{visible}"
        )
    if processes.world_size == 1 and visible > 1:
        logger.warning(
            "using 1 of %d GPUs; for all of them start with torchrun --nproc-per-node=%d",
            visible, visible,
        )  # fmt: skip
    return "gpu"


def _strategy(train: TrainConfig, processes: Processes, accelerator: str) -> Strategy:
    if train.strategy == "single" and processes.world_size > 1:
        raise ValueError(
            f"train.strategy=single, but {processes.world_size} processes were started; use "
            f"train.strategy=auto or start one process"
        )
    if train.strategy == "ddp" or processes.world_size > 1:
        return DDPStrategy(
            cluster_environment=processes.environment,
            process_group_backend="nccl" if accelerator == "gpu" else "gloo",
            gradient_as_bucket_view=True,
            # position tables are buffers too; sending them each step would be pure waste
            broadcast_buffers=False,
        )
    return SingleDeviceStrategy("cuda:0" if accelerator == "gpu" else "cpu")
