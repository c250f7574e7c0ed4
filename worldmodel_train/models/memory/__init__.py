"""How many bytes of a GPU's memory a training step takes, counted from configurations."""

from worldmodel_train.models.memory.state import (
    LAYOUTS,
    Layout,
    Precision,
    StateBytes,
    state_bytes,
)

__all__ = ["LAYOUTS", "Layout", "Precision", "StateBytes", "state_bytes"]
