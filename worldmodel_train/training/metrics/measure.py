"""Takes the reading of an optimizer step: begun at the step, finished when it is on the host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldmodel_train.training.clock import Pace
from worldmodel_train.training.metrics.monitors import latent_monitors, spread_rows
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_metrics import StepMetrics


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What this rank measured of a step, on its way to the host."""

    step: int
    names: Sequence[str]
    numbers: Float64[Tensor, "values"]
    latents: dict[str, Float[Tensor, "p d"]]
    pace: Pace
    known: dict[str, float]
    """What is the same on all ranks: schedules, and what was acted out."""
    copied: torch.cuda.Event | None
    """When numbers and latents are there; None where they never left the host."""

    def values(self) -> dict[str, float]:
        """Every number by name; waits for the copies, and takes its time over the latents."""
        if self.copied is not None:
            # a thread has the first GPU until it says otherwise, and would open a context there
            with torch.cuda.device(self.copied.device):
                self.copied.synchronize()
        numbers = dict(zip(self.names, self.numbers.tolist(), strict=True))
        last = {name: numbers.pop(name) for name in ("grad_norm", "non_finite")}
        for name, latents in self.latents.items():
            monitors = latent_monitors(latents)
            numbers |= {f"monitors/{name}_{key}": value.item() for key, value in monitors.items()}
        return numbers | last | self.pace.values()


def begin(module: TrainingModule, pace: Pace, acted: Mapping[str, float]) -> Measurement:
    """The measurement of the step that just ended; nothing here waits for the device.

    `acted` is what is known of acting, the same on all ranks.
    """
    observation = module.observation
    assert observation.grad_norm is not None
    assert module.non_finite is not None
    tensors = dict(observation.scalars)
    tensors |= {"grad_norm": observation.grad_norm, "non_finite": module.non_finite}
    numbers = torch.stack([tensor.double() for tensor in tensors.values()])
    latents = {name: _sent(spread_rows(rows)) for name, rows in observation.latents.items()}
    measurement = Measurement(
        step=module.step,
        names=tuple(tensors),
        numbers=_sent(numbers),
        latents=latents,
        pace=pace,
        known={**_schedules(module), **acted},
        copied=_event(module.device),
    )
    module.forget_observation()
    return measurement


def finish(measurement: Measurement, ranks: Sequence[dict[str, float]]) -> StepMetrics:
    """The reading over all ranks, given the values of each; the same on all of them."""
    rows = torch.tensor([list(values.values()) for values in ranks], dtype=torch.float64)
    values = dict(zip(ranks[0], rows.mean(dim=0).tolist(), strict=True))
    waits = [values["data_wait"] for values in ranks]
    non_finite = values.pop("non_finite") > 0
    values |= measurement.known | _slowest(waits)
    return StepMetrics(
        step=measurement.step, values=values, non_finite=non_finite, data_waits=tuple(waits)
    )


def _sent(tensor: Tensor) -> Tensor:
    """The tensor on its way to page-locked memory of the host, or itself where it is there."""
    return tensor.to("cpu", non_blocking=True)


def _event(device: torch.device) -> torch.cuda.Event | None:
    """What all that was queued up to now sets off; it is waited for without spinning."""
    if device.type == "cpu":
        return None
    event = torch.cuda.Event(blocking=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _slowest(waits: list[float]) -> dict[str, float]:
    if len(waits) == 1:
        return {}
    worst = max(waits)
    return {"ranks/max_data_wait": worst, "ranks/max_data_wait_rank": float(waits.index(worst))}


def _schedules(module: TrainingModule) -> dict[str, float]:
    """The values that the step just ended was taken with."""
    plan, groups = module.plan, module.optimizer.param_groups
    decays = [group["weight_decay"] for group in groups if group["decays"]]
    values = {"lr": plan.optim.lr.at(module.step, plan.steps), "wd": max(decays, default=0.0)}
    if plan.optim.ema is not None:
        values["ema"] = plan.optim.ema.at(module.step - 1, plan.steps)
    return values
