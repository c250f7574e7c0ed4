"""Takes the reading of an optimizer step."""

from dataclasses import asdict

import torch
import torch.distributed as dist
from jaxtyping import Float64
from torch import Tensor

from worldmodel_train.training.clock import Pace
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.readings.monitors import latent_monitors
from worldmodel_train.training.readings.reading import Reading


def read(module: TrainingModule, pace: Pace) -> Reading:
    """The reading of the step that just ended, over all ranks; waits for the device once."""
    observation = module.observation
    tensors = dict(observation.scalars)
    for name, latents in observation.latents.items():
        monitors = latent_monitors(latents)
        tensors |= {f"monitors/{name}_{key}": value for key, value in monitors.items()}
    assert observation.grad_norm is not None
    assert module.non_finite is not None
    tensors |= {"grad_norm": observation.grad_norm, "non_finite": module.non_finite}
    paces = asdict(pace)
    numbers = torch.tensor(list(paces.values()), dtype=torch.float64, device=module.device)
    tensors |= dict(zip(paces, numbers, strict=True))
    rows = _rows_of_ranks(torch.stack([tensor.double() for tensor in tensors.values()])).cpu()
    values = dict(zip(tensors, rows.mean(dim=0).tolist(), strict=True))
    waits = rows[:, list(tensors).index("data_wait")].tolist()
    non_finite = values.pop("non_finite") > 0
    values |= _schedules(module) | _slowest(waits)
    module.forget_observation()
    return Reading(step=module.step, values=values, non_finite=non_finite, data_waits=tuple(waits))


def _rows_of_ranks(row: Float64[Tensor, "values"]) -> Float64[Tensor, "ranks values"]:
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return row[None]
    rows = row.new_zeros(dist.get_world_size(), len(row))
    rows[dist.get_rank()] = row
    dist.all_reduce(rows)
    return rows


def _slowest(waits: list[float]) -> dict[str, float]:
    if len(waits) == 1:
        return {}
    worst = max(waits)
    return {"ranks/max_data_wait": worst, "ranks/max_data_wait_rank": float(waits.index(worst))}


def _schedules(module: TrainingModule) -> dict[str, float]:
    """The values that the step just ended was taken with."""
    plan, groups = module.plan, module.optimizer.param_groups
    decays = [group["weight_decay"] for group in groups if group["decays"]]
    values = {"lr": groups[0]["lr"], "wd": max(decays, default=0.0)}
    if plan.optim.ema is not None:
        values["ema"] = plan.optim.ema.at(module.step - 1, plan.steps)
    return values
