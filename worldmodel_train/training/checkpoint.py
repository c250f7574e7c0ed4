"""When to save, and what to keep."""

from pydantic import PositiveInt

from worldmodel_train.config import StrictConfig


class CheckpointConfig(StrictConfig):
    """How often a run saves, and which checkpoints stay."""

    every_steps: PositiveInt
    """Steps between two checkpoints; the last step and a signal save as well."""
    keep_last: PositiveInt = 3
    """The newest checkpoints to keep."""
    keep_every: PositiveInt | None = None
    """Checkpoints at multiples of this step stay for good."""
