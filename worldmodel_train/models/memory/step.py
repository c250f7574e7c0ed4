"""Bytes of a GPU's memory at the worst moment of a training step."""

from dataclasses import dataclass
from typing import NamedTuple

from worldmodel_train.models.flops import (
    blocks_parameters,
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


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a run is spread over its GPUs."""

    layout: Layout
    world_size: int
    gradients: Precision = "bf16"
    """What ZeRO adds gradients up in."""
    offload: bool = False
    """Whether masters and moments live in the host's memory."""
    reduce_bucket: int = 200_000_000
    """Elements that ZeRO sends at once; two buckets, so that one fills while the other leaves."""
    prefetch_bucket: int = 50_000_000
    """Elements that stage 3 gathers ahead of their use."""


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
    gathered = _gathered(encoder, trained, batch, sharding)
    reduced = _reduced(trained, batch, sharding)
    kept, casts = activations.kept, state.casts
    # autocast shares its copies up to the loss, and they stay where blocks keep all; `selective`
    # makes them anew for each block
    to_loss = 0 if batch.checkpointing == "selective" else casts
    to_end = casts if batch.checkpointing == "none" else 0
    moments = (
        Moment("targets", 0, 0, activations.target, gathered),
        Moment("loss", kept, to_loss, activations.forward - kept, gathered),
        Moment("backward", kept, to_end, activations.backward - kept, gathered + reduced),
        Moment("update", 0, 0, _update(trained, batch, sharding), 0),
    )
    worst = max(moments, key=lambda moment: moment.total)
    return StepMemory(state=state, activations=activations, worst=worst)


def _gathered(encoder: EncoderConfig, trained: int, batch: MicroBatch, sharding: Sharding) -> int:
    """Under stage 3, the weights of the block at work and those fetched ahead."""
    if sharding.layout != "zero3":
        return 0
    blocks = encoder.blocks
    block = blocks_parameters(blocks) // blocks.depth
    return ELEMENT[batch.precision] * (block + min(sharding.prefetch_bucket, trained))


def _reduced(trained: int, batch: MicroBatch, sharding: Sharding) -> int:
    """Gradients on their way; DDP sends them from where they are."""
    if sharding.layout == "ddp":
        return 0
    return 2 * ELEMENT[batch.precision] * min(sharding.reduce_bucket, trained)


def _update(trained: int, batch: MicroBatch, sharding: Sharding) -> int:
    """What ZeRO's optimizer copies of its share of the gradients: flattened, then in fp32."""
    if sharding.layout == "ddp" or sharding.offload:
        return 0
    element = max(ELEMENT[batch.precision], ELEMENT[sharding.gradients])
    cast = FP32 if element < FP32 else 0
    return (element + cast) * -(-trained // sharding.world_size)
