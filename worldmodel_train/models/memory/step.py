"""Bytes of a GPU's memory at the worst moment of a training step."""

from dataclasses import dataclass
from typing import NamedTuple

from worldmodel_train.models.checkpointing import policies_of
from worldmodel_train.models.flops import (
    encoder_parameters,
    predictor_parameters,
)
from worldmodel_train.models.memory.activations import (
    ActivationBytes,
    MicroBatch,
    activation_bytes,
)
from worldmodel_train.models.memory.state import (
    ELEMENT,
    FP32,
    Layout,
    Precision,
    StateBytes,
    state_bytes,
)
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.vit import EncoderConfig

REDUCE_BUCKET = 100_000_000
"""Gradients that ZeRO sends at once: 0.4 GB in fp32, enough to fill any link. Training says so to
DeepSpeed, whose own default is five times as many and costs a gigabyte or two of memory."""


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a run is spread over its GPUs."""

    layout: Layout
    world_size: int
    gradients: Precision = "bf16"
    """What ZeRO adds gradients up in."""
    offload: bool = False
    """Whether masters, moments and EMA live in the host's memory."""
    bucket: int = REDUCE_BUCKET
    """Gradients that ZeRO sends at once."""
    live: int = 1_000_000_000
    """Parameters that stage 3 may keep gathered (its default `stage3_max_live_parameters`)."""


class Moment(NamedTuple):
    """What is there at one moment of a step besides the state, in bytes."""

    name: str
    kept: int
    """Activations that wait for the backward pass."""
    casts: int
    """Autocast's bf16 copies of the weights."""
    working: int
    """Other activations, or the optimizer's copies."""
    communication: int
    """Buckets on their way, and under stage 3 gathered weights."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.kept + self.casts + self.working + self.communication


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """The memory of one GPU."""

    state: StateBytes
    activations: ActivationBytes
    worst: Moment

    @property
    def total(self) -> int:
        """Bytes at the worst moment."""
        state = self.state.total - self.state.casts
        return state + self.activations.inputs + self.worst.total


def step_memory(
    encoder: EncoderConfig, predictor: PredictorConfig, batch: MicroBatch, sharding: Sharding
) -> StepMemory:
    """The memory of a GPU that trains a context encoder and a predictor after a target encoder."""
    teacher = encoder_parameters(encoder)
    trained = teacher + predictor_parameters(predictor, encoder)
    state = state_bytes(
        trained,
        teacher,
        layout=sharding.layout,
        world_size=sharding.world_size,
        precision=batch.precision,
        gradients=sharding.gradients,
    )
    state = state.offloaded() if sharding.offload else state
    activations = activation_bytes(encoder, predictor, batch)
    element = ELEMENT[batch.precision]
    whole = sharding.layout == "zero3"
    gathered = element * min(sharding.live, trained + teacher) if whole else 0
    reduced = _buckets(trained, batch, sharding)
    kept, casts = activations.kept, state.casts
    # autocast shares its copies up to the loss, and they stay where blocks keep all; `selective`
    # makes them anew for each block. Where policies are mixed all copies count, to be safe
    policies = policies_of(batch.checkpointing)
    to_loss = 0 if policies == ("selective",) else casts
    to_end = casts if "none" in policies else 0
    moments = (
        Moment("targets", 0, 0, activations.target, gathered),
        Moment("loss", kept, to_loss, activations.forward - kept, gathered),
        Moment("backward", kept, to_end, activations.backward - kept, gathered + reduced),
        Moment("update", 0, 0, _update(trained, batch, sharding), 0),
    )
    worst = max(moments, key=lambda moment: moment.total)
    return StepMemory(state=state, activations=activations, worst=worst)


def _buckets(trained: int, batch: MicroBatch, sharding: Sharding) -> int:
    """Gradients on their way during the backward pass; DDP sends them from where they are.

    ZeRO has two buckets of a fixed size, so that one fills while the other leaves, and stage 3 one.
    A full bucket is sent as a copy in fp32; what is left over is sent after the backward pass.
    Where ZeRO 1 adds up in fp32, all is sent after it, without buckets.
    """
    element = ELEMENT[batch.precision]
    summed_whole = sharding.layout == "zero1" and element < ELEMENT[sharding.gradients]
    if sharding.layout == "ddp" or (summed_whole and not sharding.offload):
        return 0
    buckets = (1 if sharding.layout == "zero3" else 2) * element * sharding.bucket
    sends = element < FP32 and trained >= sharding.bucket
    return buckets + (FP32 * sharding.bucket if sends else 0)


def _update(trained: int, batch: MicroBatch, sharding: Sharding) -> int:
    """The last bucket as it is sent, or the share of the gradients as the optimizer takes it."""
    if sharding.layout == "ddp":
        return 0
    sent = _buckets(trained, batch, sharding) + FP32 * min(sharding.bucket, trained)
    share = FP32 * -(-trained // sharding.world_size)
    return max(sent, 0 if sharding.offload else share)
