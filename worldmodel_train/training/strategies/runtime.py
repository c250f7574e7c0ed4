"""Makes the place that a strategy needs: Lightning's strategy, and where the state lies under it.

A further strategy is a value of `train.strategy`, a method here, and a `Layout`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
from lightning.pytorch.plugins import Precision
from lightning.pytorch.strategies import (
    DDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
    Strategy,
)

from worldmodel_train.training.config import (
    DdpStrategy,
    DeepSpeedConfig,
    Fsdp2Strategy,
    SingleStrategy,
    TrainConfig,
)
from worldmodel_train.training.layouts.in_place import InPlace
from worldmodel_train.training.layouts.layout import Layout, fill_weights
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.strategies.processes import Processes

Chosen = SingleStrategy | DdpStrategy | DeepSpeedConfig | Fsdp2Strategy


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where the Trainer runs."""

    processes: Processes
    accelerator: Literal["cpu", "gpu"]
    device: torch.device
    """Of this process."""
    devices: int | Literal["auto"]
    """Of this node, as the Trainer counts them; `auto` where each task sees one of its own."""
    strategy: Strategy
    precision: Precision | None
    """A plugin in the place of Lightning's own."""
    chosen: Chosen
    """What the strategy was made from."""
    lay_out: Callable[[TrainingModule], Layout]
    """Called when the strategy has set up the model and the optimizer."""
    shard: Callable[[TrainingModule], None]
    """Called before that, when the processes know of each other."""


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


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What all strategies are made from."""

    train: TrainConfig
    processes: Processes
    accelerator: Literal["cpu", "gpu"]
    chosen: Chosen

    @property
    def _devices(self) -> list[torch.device]:
        """The device of each process of this node."""
        if self.accelerator == "gpu":
            return self.processes.node_gpus(torch.cuda.device_count())
        return [torch.device("cpu")] * self.processes.per_node

    @property
    def _exchange(self) -> dict[str, Any]:
        """How ranks talk to each other."""
        return {
            "process_group_backend": "nccl" if self.accelerator == "gpu" else "gloo",
            "timeout": timedelta(seconds=self.train.timeout_s),
        }

    def runtime(self) -> Runtime:
        """Where the Trainer runs under the chosen strategy."""
        match self.chosen:
            case DeepSpeedConfig():
                return self._deepspeed(self.chosen)
            case Fsdp2Strategy():
                return self._fsdp2()
            case DdpStrategy():
                return self._place(self._ddp(), lay_out=_in_place)
            case SingleStrategy():
                device = "cuda:0" if self.accelerator == "gpu" else "cpu"
                return self._place(SingleDeviceStrategy(device), lay_out=_in_place)

    def _ddp(self) -> Strategy:
        return DDPStrategy(
            parallel_devices=self._devices,
            cluster_environment=self.processes.environment,
            gradient_as_bucket_view=True,
            # position tables are buffers too; sending them each step would be pure waste
            broadcast_buffers=False,
            **self._exchange,
        )

    def _fsdp2(self) -> Runtime:
        strategy = ModelParallelStrategy(
            data_parallel_size=self.processes.world_size, tensor_parallel_size=1, **self._exchange
        )
        strategy.cluster_environment = self.processes.environment
        strategy.parallel_devices = self._devices
        return self._place(strategy, lay_out=_in_place, shard=self._shard)

    def _deepspeed(self, config: DeepSpeedConfig) -> Runtime:
        on_cpu = self.accelerator == "cpu"
        if on_cpu:
            # read when DeepSpeed is imported
            os.environ["DS_ACCELERATOR"] = "cpu"
        from worldmodel_train.training.layouts.zero_flat import ZeroFlat
        from worldmodel_train.training.layouts.zero_partitioned import ZeroPartitioned
        from worldmodel_train.training.strategies.zero import (
            ZeroPrecision,
            ZeroStrategy,
            engine_config,
        )

        layout = ZeroPartitioned if config.zero_stage == 3 else ZeroFlat
        train, processes = self.train, self.processes
        engine = engine_config(
            config,
            train,
            accumulation=accumulation(train.global_batch, train.micro_batch, processes.world_size),
            on_cpu=on_cpu,
        )
        strategy = ZeroStrategy(
            engine,
            processes.environment,
            devices=self._devices,
            timeout=self._exchange["timeout"],
        )

        def lay_out(module: TrainingModule) -> Layout:
            engine = strategy.deepspeed_engine
            made = layout(module.objective, module.method.ema_pairs(), engine)
            drawn, named = strategy.drawn_weights(), module.objective.named_parameters()
            fill_weights(made, {name: drawn[id(parameter)] for name, parameter in named})
            return made

        precision = ZeroPrecision("bf16-mixed" if train.precision == "bf16" else "32-true")
        return self._place(strategy, lay_out=lay_out, precision=precision)

    def _shard(self, module: TrainingModule) -> None:
        from worldmodel_train.training.strategies.fsdp2 import shard

        mesh = module.device_mesh
        assert mesh is not None
        shard(module.objective, mesh, in_bf16=self.train.precision == "bf16")

    def _place(
        self,
        strategy: Strategy,
        *,
        lay_out: Callable[[TrainingModule], Layout],
        shard: Callable[[TrainingModule], None] = lambda module: None,
        precision: Precision | None = None,
    ) -> Runtime:
        per_node, on_gpu = self.processes.per_node, self.accelerator == "gpu"
        return Runtime(
            processes=self.processes,
            accelerator=self.accelerator,
            device=self._devices[self.processes.environment.local_rank()],
            devices="auto" if len(set(self._devices)) < per_node and on_gpu else per_node,
            strategy=strategy,
            precision=precision,
            chosen=self.chosen,
            lay_out=lay_out,
            shard=shard,
        )


def _in_place(module: TrainingModule) -> Layout:
    return InPlace(module.objective, module.method.ema_pairs(), module.optimizer)
