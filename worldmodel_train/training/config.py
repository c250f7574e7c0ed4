"""How long, how wide and on what a run trains, and how often it reports."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from worldmodel_train.config import StrictConfig


class InitConfig(StrictConfig):
    """A finished run to start from, as a cooldown does."""

    checkpoint: Path
    """A checkpoint directory, or a run directory (its last checkpoint is taken)."""
    optimizer: bool
    """Take the optimizer's moments as well; V-JEPA 2's cooldowns do."""


class TrainConfig(StrictConfig):
    """The size of a run and the machine it runs on."""

    steps: PositiveInt
    """Optimizer steps of the whole run."""
    global_batch: PositiveInt
    """Clips per optimizer step, on any number of GPUs."""
    micro_batch: PositiveInt
    """Clips per forward pass of one process; accumulation follows from it."""
    seed: NonNegativeInt = 0
    """Seeds the weights, the order of the samples, the masks and the augmentation."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """`gpu` refuses to start without one; `auto` takes one where there is one."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """`bf16` computes in bfloat16 and keeps weights, optimizer and EMA in float32."""
    strategy: Literal["auto", "single", "ddp"] = "auto"
    """`auto` is `ddp` where a launcher started several processes, else `single`."""
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    """What the backward pass computes again instead of keeping it in memory."""
    compile: bool = False
    """Run the objective's modules through torch.compile."""
    init: InitConfig | None = None
    """Weights to start from; null draws them."""

    @model_validator(mode="after")
    def _micro_batches_fill_the_global_batch(self) -> "TrainConfig":
        if self.global_batch % self.micro_batch:
            most = min(self.micro_batch, self.global_batch + 1)
            largest = max(n for n in range(1, most) if self.global_batch % n == 0)
            raise ValueError(
                f"train.global_batch={self.global_batch} is not a multiple of "
                f"train.micro_batch={self.micro_batch}; use train.micro_batch={largest}"
            )
        return self


class LogConfig(StrictConfig):
    """How often a run reports."""

    every_steps: PositiveInt = 50
    """Steps between two readings of the metrics; each reading waits for the device once."""
    image_every: PositiveInt | None = None
    """Steps between two sets of pictures; null draws none."""
