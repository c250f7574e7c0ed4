"""DeepSpeed's ZeRO under Lightning, on GPUs and, so that the tests run it for real, on CPUs.

Imported only where `train.strategy` asks for it: DeepSpeed alone takes seconds to import.
"""

import io
import logging
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import timedelta
from typing import Any

import deepspeed
import deepspeed.ops
import torch
from lightning.fabric.plugins import ClusterEnvironment
from lightning.pytorch.plugins import DeepSpeedPrecision
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from worldmodel_train.models.memory import REDUCE_BUCKET
from worldmodel_train.training.config import DeepSpeedConfig, TrainConfig


class ZeroStrategy(DeepSpeedStrategy):
    """Lightning's strategy on any device, dividing by the accumulation once."""

    def __init__(
        self,
        config: dict[str, Any],
        environment: ClusterEnvironment,
        *,
        devices: list[torch.device],
        timeout: timedelta,
    ) -> None:
        self._on_cpu = devices[0].type == "cpu"
        self._drawn: dict[int, Tensor] = {}
        super().__init__(
            config=config,
            parallel_devices=devices,
            cluster_environment=environment,
            process_group_backend="gloo" if self._on_cpu else "nccl",
            timeout=timeout,
            logging_level=logging.ERROR,
        )

    @property
    def parallel_devices(self) -> list[torch.device]:
        """The devices, with an index each: DeepSpeed asks for it."""
        return self._parallel_devices

    @parallel_devices.setter
    def parallel_devices(self, parallel_devices: list[torch.device] | None) -> None:
        self._parallel_devices = [
            torch.device("cpu", i) if device.type == "cpu" else device
            for i, device in enumerate(parallel_devices or [])
        ]

    def setup_environment(self) -> None:
        """Starts the processes' exchange; Lightning's own refuses CPUs."""
        if not self._on_cpu:
            super().setup_environment()
            return
        # compiled at the first start, for half a minute, and no faster here
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        DDPStrategy.setup_environment(self)

    def setup_distributed(self) -> None:
        """Lets the processes meet; Lightning's own refuses tasks that see one GPU each."""
        self.set_world_ranks()
        self._init_deepspeed_distributed()

    def _set_node_environment_variables(self) -> None:
        """Tells DeepSpeed the place of this process; it takes the GPU of that number."""
        super()._set_node_environment_variables()
        if not self._on_cpu:
            os.environ["LOCAL_RANK"] = str(self.root_device.index)

    def drawn_weights(self) -> Mapping[int, Tensor]:
        """The weights as they were before the engine cast them, by the id of the parameter; once.

        The engine makes its fp32 masters of what it has cast, so a bf16 run would begin rounded.
        """
        drawn, self._drawn = self._drawn, {}
        return drawn

    def backward(
        self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any  # noqa: ANN401  # as Lightning has it
    ) -> Tensor:  # fmt: skip
        """Runs the backward pass; Lightning has divided the loss by the accumulation already."""
        return super().backward(closure_loss, optimizer, *args, scale_wrt_gas=False, **kwargs)

    def _setup_model_and_optimizer(
        self, model: nn.Module, optimizer: Optimizer | None, lr_scheduler: Any = None  # noqa: ANN401  # as Lightning has it
    ) -> Any:  # noqa: ANN401  # as Lightning has it  # fmt: skip
        """Makes the engine. It casts buffers as well as weights, so they are put back in fp32."""
        buffers = [
            (module, name, buffer)
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        self._drawn = {id(parameter): parameter.data for parameter in model.parameters()}
        with redirect_stdout(io.StringIO()):  # it prints its memory for every parameter group
            made = super()._setup_model_and_optimizer(model, optimizer, lr_scheduler)
        for module, name, buffer in buffers:
            module._buffers[name] = buffer.to(self.root_device)  # noqa: SLF001  # keeps persistence
        return made


class ZeroPrecision(DeepSpeedPrecision):
    """Leaves batches alone: they are uint8 clips and indices."""

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401  # as Lightning has it
        """The batch as it is."""
        return data

    def convert_module(self, module: nn.Module) -> nn.Module:
        """The module as it is; the engine casts it."""
        return module


def engine_config(
    config: DeepSpeedConfig, train: TrainConfig, *, accumulation: int, on_cpu: bool
) -> dict[str, Any]:
    """What `deepspeed.initialize` is told. Lightning adds the accumulation.

    Gradients are summed in fp32, over the ranks and over micro-batches: hundreds of bf16 numbers do
    not add up. What is summed are bf16 gradients, as the weights are bf16.
    """
    zero: dict[str, Any] = {
        "stage": config.zero_stage,
        "overlap_comm": not on_cpu,
        "contiguous_gradients": True,
        "reduce_bucket_size": REDUCE_BUCKET,
        # its linear map adds the bias in place, and selective checkpointing would add it twice
        "memory_efficient_linear": False,
        # a teacher's parameter that stays whole between steps would not see its EMA
        "stage3_param_persistence_threshold": 0,
    }
    if config.offload == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": not on_cpu}
    in_bf16 = train.precision == "bf16"
    return {
        "train_micro_batch_size_per_gpu": train.micro_batch,
        "gradient_clipping": 0.0,  # the layout says, step by step
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        # the norm says as much, and is looked at without a wait for the device
        "bf16": {"enabled": in_bf16, "check_grad_overflow": False},
        "data_types": {"grad_accum_dtype": "fp32" if in_bf16 and accumulation > 1 else None},
        "communication_data_type": "fp32",
    }
