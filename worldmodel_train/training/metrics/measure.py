"""Takes the reading of an optimizer step: begun at the step, finished when it is on the host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from worldmodel_train.training.clock import Pace
from worldmodel_train.training.metrics.joined_rows import JoinedRows, join_rows
from worldmodel_train.training.metrics.monitors import latent_monitors
from worldmodel_train.training.metrics.teacher_gap import (
    relative_gap,
    squared_gap,
    student_names,
)
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_metrics import StepMetrics


@dataclass(frozen=True, kw_only=True)
class RankReading:
    """What one rank says of a step."""

    own: dict[str, float]
    """Of its share of the batch; the reading is the mean over ranks."""
    monitors: dict[str, float]
    """Of latents of the global batch, by the first rank alone."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What this rank measured of a step, on its way to the host."""

    step: int
    names: Sequence[str]
    numbers: Float64[Tensor, "values"]
    latents: dict[str, JoinedRows]
    """Of all ranks; only the first one has them."""
    pace: Pace
    known: dict[str, float]
    """What is the same on all ranks: schedules, and what was acted out."""
    copied: torch.cuda.Event | None
    """When numbers and latents are there; None where they never left the host."""

    def values(self) -> RankReading:
        """Every number by name; waits for the copies, and takes its time over the latents."""
        if self.copied is not None:
            # a thread has the first GPU until it says otherwise, and would open a context there
            with torch.cuda.device(self.copied.device):
                self.copied.synchronize()
        numbers = dict(zip(self.names, self.numbers.tolist(), strict=True))
        last = {name: numbers.pop(name) for name in ("grad_norm", "non_finite")}
        monitors = latent_monitors(self.latents)
        return RankReading(
            own=numbers | last | self.pace.values(),
            monitors={f"monitors/{name}": value for name, value in monitors.items()},
        )


def begin(
    module: TrainingModule, pace: Pace, acted: Mapping[str, float], probed: Mapping[str, Tensor]
) -> Measurement:
    """The measurement of the step that just ended; nothing here waits for the device.

    What is known of acting, and by the online probe, is the same on all ranks.
    """
    observation = module.observation
    assert observation.grad_norm is not None
    assert module.non_finite is not None
    tensors = dict(observation.scalars)
    tensors |= {f"grad_norms/{part}": norm for part, norm in observation.part_norms.items()}
    tensors |= squared_gap(module.layout, _students(module))
    tensors |= probed
    tensors |= {"grad_norm": observation.grad_norm, "non_finite": module.non_finite}
    numbers = torch.stack([t.to(module.device, torch.float64) for t in tensors.values()])
    joined = join_rows(observation.latents, observation.samples)
    measurement = Measurement(
        step=module.step,
        names=tuple(tensors),
        numbers=_sent(numbers),
        latents={name: rows.to_host() for name, rows in joined.items()},
        pace=pace,
        known={**_schedules(module), **module.passed_over(), **acted},
        copied=_event(module.device),
    )
    module.forget_observation()
    return measurement


def finish(measurement: Measurement, ranks: Sequence[RankReading]) -> StepMetrics:
    """The reading over all ranks, given what each says; the same on all of them."""
    rows = torch.tensor([list(rank.own.values()) for rank in ranks], dtype=torch.float64)
    values = dict(zip(ranks[0].own, rows.mean(dim=0).tolist(), strict=True))
    values |= ranks[0].monitors | relative_gap(values)
    waits = [rank.own["data_wait"] for rank in ranks]
    non_finite = values.pop("non_finite") > 0
    values |= measurement.known | _slowest(waits)
    return StepMetrics(
        step=measurement.step, values=values, non_finite=non_finite, data_waits=tuple(waits)
    )


def _students(module: TrainingModule) -> dict[str, str]:
    pairs = module.method.ema_pairs()
    return student_names(module.objective, pairs) if pairs else {}


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
