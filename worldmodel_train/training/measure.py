"""Takes the reading of an optimizer step."""

from dataclasses import asdict

import torch
import torch.distributed as dist
from torch import Tensor

from worldmodel_train.training.clock import Pace
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.monitors import latent_monitors
from worldmodel_train.training.reading import Reading


def read(module: TrainingModule, pace: Pace) -> Reading:
    """The reading of the step that just ended; waits for the device once."""
    observation = module.observation
    tensors = dict(observation.scalars)
    for name, latents in observation.latents.items():
        monitors = latent_monitors(latents)
        tensors |= {f"monitors/{name}_{key}": value for key, value in monitors.items()}
    assert observation.grad_norm is not None
    assert module.non_finite is not None
    tensors |= {"grad_norm": observation.grad_norm, "non_finite": module.non_finite}
    values = _mean_over_ranks(tensors)
    non_finite = values.pop("non_finite") > 0
    values |= _schedules(module)
    values |= asdict(pace)
    module.forget_observation()
    return Reading(step=module.step, values=values, non_finite=non_finite)


def _mean_over_ranks(tensors: dict[str, Tensor]) -> dict[str, float]:
    packed = torch.stack([tensor.double() for tensor in tensors.values()])
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(packed)
        packed /= dist.get_world_size()
    return dict(zip(tensors, packed.tolist(), strict=True))


def _schedules(module: TrainingModule) -> dict[str, float]:
    """The values that the step just ended was taken with."""
    plan, groups = module.plan, module.optimizer.param_groups
    decays = [group["weight_decay"] for group in groups if group["decays"]]
    values = {"lr": groups[0]["lr"], "wd": max(decays, default=0.0)}
    if plan.optim.ema is not None:
        values["ema"] = plan.optim.ema.at(module.step - 1, plan.steps)
    return values
