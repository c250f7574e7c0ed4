"""How many bytes of a GPU's memory a training step takes, counted from configurations."""

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
from worldmodel_train.models.memory.step import Moment, Sharding, StepMemory, step_memory

__all__ = [
    "LAYOUTS",
    "ActivationBytes",
    "Layout",
    "MicroBatch",
    "Moment",
    "Precision",
    "Sharding",
    "StateBytes",
    "StepMemory",
    "activation_bytes",
    "state_bytes",
    "step_memory",
]
