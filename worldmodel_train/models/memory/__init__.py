"""Bytes that a training step holds on a GPU and sends to others, counted from configurations."""

from worldmodel_train.models.memory.activations import (
    ActivationBytes,
    MicroBatch,
    activation_bytes,
)
from worldmodel_train.models.memory.state import (
    LAYOUTS,
    Layout,
    Precision,
    StateBytes,
    state_bytes,
)
from worldmodel_train.models.memory.step import (
    REDUCE_BUCKET,
    Moment,
    Sharding,
    StepMemory,
    step_memory,
)
from worldmodel_train.models.memory.traffic import ring_bytes, step_traffic

__all__ = [
    "LAYOUTS",
    "REDUCE_BUCKET",
    "ActivationBytes",
    "Layout",
    "MicroBatch",
    "Moment",
    "Precision",
    "Sharding",
    "StateBytes",
    "StepMemory",
    "activation_bytes",
    "ring_bytes",
    "state_bytes",
    "step_memory",
    "step_traffic",
]
