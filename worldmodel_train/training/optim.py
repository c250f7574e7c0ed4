"""AdamW over the objective's parameter groups, with scheduled learning rate and weight decay."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator
from torch.optim import AdamW, Optimizer

from worldmodel_train.config import StrictConfig
from worldmodel_train.protocols import ParameterGroup
from worldmodel_train.training.schedules import Schedule

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class ClipGradConfig(StrictConfig):
    """Scales gradients down to a norm."""

    norm: PositiveFloat
    """Largest norm."""
    of: Literal["all", "each_part"] = "all"
    """Of `all` gradients together, or of `each_part` of the method (encoder, predictor) apart."""
    from_step: NonNegativeInt = 0
    """First optimizer step that clips; the released V-JEPA waits for an epoch after the warmup."""


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
    """Largest norm of all gradients together, from the first step on; null does not clip."""
    clip_grad: ClipGradConfig | None = None
    """The same in other ways, in the place of clip_grad_norm; null does not clip."""

    @model_validator(mode="after")
    def _clips_once(self) -> "OptimConfig":
        if self.clip_grad_norm is not None and self.clip_grad is not None:
            raise ValueError(
                f"clip_grad_norm={self.clip_grad_norm} and clip_grad.norm={self.clip_grad.norm} "
                "are two limits for the same gradients; set one of them to null"
            )
        return self

    @property
    def clipping(self) -> ClipGradConfig | None:
        """How gradients are clipped, however it is spelled."""
        if self.clip_grad_norm is None:
            return self.clip_grad
        return ClipGradConfig(norm=self.clip_grad_norm)

    def clipping_at(self, step: int) -> ClipGradConfig | None:
        """How gradients are clipped in the optimizer step with index `step`."""
        clip = self.clipping
        return None if clip is None or step < clip.from_step else clip


def build_optimizer(groups: Sequence[ParameterGroup], config: OptimConfig) -> AdamW:
    """AdamW over `groups`; rates and decays are placeholders until `set_schedules`."""
    _check_each_parameter_once(groups)
    settings = [
        {
            "params": list(group.parameters),
            "group": group.name,
            "decays": group.weight_decay,
            "rate_scale": group.rate_scale,
            "decay_scale": group.decay_scale,
        }
        for group in groups
        if group.parameters
    ]
    return AdamW(settings, lr=0.0, betas=config.betas, eps=config.eps, fused=True)


def set_schedules(optimizer: Optimizer, config: OptimConfig, step: int, total_steps: int) -> None:
    """Sets rate and decay for the optimizer step with index `step`.

    Plus one, because the published recipes step the scheduler before the forward pass.
    """
    rate = config.lr.at(step + 1, total_steps)
    decay = config.weight_decay.at(step + 1, total_steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]
        group["weight_decay"] = decay * group["decay_scale"] if group["decays"] else 0.0


def _check_each_parameter_once(groups: Sequence[ParameterGroup]) -> None:
    seen: set[int] = set()
    for group in groups:
        for parameter in group.parameters:
            assert id(parameter) not in seen, f"a parameter of group {group.name} is listed twice"
            assert parameter.requires_grad, f"group {group.name} holds a frozen parameter"
            seen.add(id(parameter))
    assert seen, "the objective has no trainable parameters"
