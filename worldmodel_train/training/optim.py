"""AdamW over the objective's parameter groups, with scheduled learning rate and weight decay."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from worldmodel_train.config import StrictConfig
from worldmodel_train.training.schedules import Schedule

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class OptimConfig(StrictConfig):
    """The optimizer and the schedules that steer it."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    lr: Schedule
    """Learning rate of every parameter group."""
    weight_decay: Schedule
    """Weight decay of the groups that decay (not biases, not one-dimensional parameters)."""
    ema: Schedule | None
    """Momentum of the target encoder; null for a method without one."""
    clip_grad_norm: PositiveFloat | None = None
    """Largest norm of all gradients together; null does not clip."""
