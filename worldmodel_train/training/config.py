"""How long, how wide and on what a run trains, and how often it reports."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import Misfit, RecipeFacts
from worldmodel_train.models.frozen import PartConfig
from worldmodel_train.protocols import Encoder


class InitConfig(StrictConfig):
    """What a run starts from: a whole run, as a cooldown does, or parts of some."""

    checkpoint: Path | None = None
    """A checkpoint directory, or a run directory (its last checkpoint is taken)."""
    optimizer: bool | None = None
    """Take the checkpoint's moments as well; V-JEPA 2's cooldowns do."""
    parts: Mapping[str, PartConfig] = Field(default_factory=dict[str, PartConfig])
    """Parts of the objective by name, such as `context_encoder`, and what fills each; the others
    are drawn."""

    @model_validator(mode="after")
    def _whole_or_parts(self) -> "InitConfig":
        if (self.checkpoint is None) == (not self.parts):
            raise ValueError("give either checkpoint, for all weights, or parts")
        if (self.checkpoint is None) != (self.optimizer is None):
            raise ValueError(
                "optimizer says whether the moments of checkpoint are taken: give it with a "
                "checkpoint, and not with parts, which have none"
            )
        return self


class AutoStrategy(StrictConfig):
    """`single` for one process; for several `ddp`, or ZeRO where a GPU would be too full."""

    name: Literal["auto"] = "auto"


class SingleStrategy(StrictConfig):
    """One process on one device."""

    name: Literal["single"] = "single"


class DdpStrategy(StrictConfig):
    """Every rank keeps everything; gradients are averaged."""

    name: Literal["ddp"] = "ddp"


class DeepSpeedConfig(StrictConfig):
    """DeepSpeed's ZeRO: each rank keeps a share of the state."""

    name: Literal["deepspeed"] = "deepspeed"
    zero_stage: Literal[1, 2, 3] = 1
    """What is shared out: 1 masters, moments and EMA; 2 gradients too; 3 weights too."""
    offload: Literal["none", "cpu"] = "none"
    """`cpu` keeps masters, moments and EMA in the host's memory and steps there."""


class Fsdp2Strategy(StrictConfig):
    """PyTorch's own sharding: weights, gradients, moments and EMA by rows, as ZeRO 3."""

    name: Literal["fsdp2"] = "fsdp2"


def _by_name(value: object) -> object:
    """`ddp` for `{name: ddp}`."""
    return {"name": value} if isinstance(value, str) else value


_Named = Annotated[
    AutoStrategy | SingleStrategy | DdpStrategy | DeepSpeedConfig | Fsdp2Strategy,
    Field(discriminator="name"),
]
_Name = Literal["auto", "single", "ddp", "deepspeed", "fsdp2"]
Strategy = Annotated[_Named, BeforeValidator(_by_name, json_schema_input_type=_Name | _Named)]


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
    """`bf16` computes in bfloat16; masters, optimizer and EMA stay in float32."""
    strategy: Strategy = AutoStrategy()
    """How the state lies over the processes that a launcher started: auto, single, ddp, deepspeed
    (with zero_stage and offload) or fsdp2; a name alone will do."""
    timeout_s: PositiveFloat = 1800.0
    """Seconds that a rank waits for the others in one exchange before the run ends."""
    activation_checkpointing: Literal["none", "selective", "full", "auto"] = "none"
    """What the backward pass computes again instead of keeping it in memory; `auto` takes
    the fastest that is computed to fit the GPU, and may take two: the heavier one for only as many
    blocks as it must."""
    compile: Literal["auto"] | bool = "auto"
    """Run the blocks of the objective's networks through torch.compile; `auto` does on a GPU,
    where strategy and machine allow it, and says in the log what it chose."""
    deterministic: bool = False
    """Give the same bits in every run, on a GPU too, with slower kernels: attention without cuDNN,
    and sums in a fixed order. On a CPU that is so anyway."""
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


class OnlineProbeConfig(StrictConfig):
    """A linear probe of the labels, which learns and is tested while the run trains.

    It reads mean latents of clips just trained on, beside the same probe on small pixels and the
    commonest class; nothing of the run learns from it.
    """

    every_steps: PositiveInt = 10
    """Steps between two looks."""
    clips: PositiveInt = 4
    """Clips of each micro-batch that are encoded for a look."""

    def misfits(self, objective: type, facts: RecipeFacts) -> Iterator[Misfit]:
        """A method that encodes nothing, clips without one label, or too few of them."""
        key, data = ("log", "online_probe"), facts.data
        if not issubclass(objective, Encoder):
            yield key, f"probes an Encoder, which {objective.__name__} is not; write null here"
        elif data.classes is None:
            yield key, "needs labels: give data.classes (of films data.label), or write null here"
        elif data.labels == "many":
            message = "names one class of a clip, and data.labels=many gives several; "
            yield key, message + "write null here"
        if self.clips > facts.micro_batch:
            message = f"a micro-batch has {facts.micro_batch} clips; use at most as many"
            yield (*key, "clips"), message


class LogConfig(StrictConfig):
    """How often a run reports."""

    every_steps: PositiveInt = 50
    """Steps between two readings of the metrics; each reading waits for the device once."""
    image_every: PositiveInt | None = None
    """Steps between two sets of pictures; null draws none."""
    online_probe: OnlineProbeConfig | None = None
    """How often and on how many clips a linear probe of the labels looks; null has none."""
