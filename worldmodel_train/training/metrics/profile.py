"""A trace of some steps: what the host and the device do, when, and for how long."""

import logging
from pathlib import Path

import lightning.pytorch as pl
from torch.profiler import ProfilerActivity, profile, schedule

from worldmodel_train.training.clock import Clock
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.step_callback import StepCallback

logger = logging.getLogger(__name__)

WARM_UP = 5
"""Steps before the first traced one: they allocate, compile and choose kernels."""
_OPERATORS = 40  # rows of the table


class Profiler(StepCallback):
    """Traces `num_steps` steps of this start and writes them into `folder`."""

    def __init__(self, num_steps: int, folder: Path, clock: Clock, *, first_step: int) -> None:
        first = first_step + WARM_UP + 1
        self._path = folder / f"steps_{first}-{first + num_steps - 1}.json.gz"
        self._clock = clock
        self._num_steps = num_steps
        self._sort_by = "self_cpu_time_total"
        self._profile: profile | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to count steps."""
        activities = [ProfilerActivity.CPU]
        if pl_module.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
            self._sort_by = "self_cuda_time_total"
        self._profile = profile(
            activities=activities,
            # the last step of the warm-up is traced and thrown away: tracing has to get going
            schedule=schedule(wait=WARM_UP - 1, warmup=1, active=self._num_steps, repeat=1),
            on_trace_ready=self._write,
        )
        self._profile.start()

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Counts a step; starting, stopping and writing are not part of it."""
        if self._profile is not None:
            with self._clock.stopped():
                self._profile.step()

    def close(self) -> None:
        """Stops tracing, where a run ends in the middle of it, and writes nothing."""
        if self._profile is not None:
            self._profile.on_trace_ready = None
            self._profile.stop()
            logger.warning("nothing is traced: the run ended before %s was whole", self._path.name)

    def _write(self, traced: profile) -> None:
        self._path.parent.mkdir(exist_ok=True)
        traced.export_chrome_trace(str(self._path))
        table = self._path.with_suffix("").with_suffix(".txt")
        table.write_text(traced.key_averages().table(sort_by=self._sort_by, row_limit=_OPERATORS))
        self._profile = None
        logger.info(
            "traced: open %s at ui.perfetto.dev; %s has the operators that take longest",
            self._path, table,
        )  # fmt: skip


def obstacle_to_profile(num_steps: int, steps_left: int) -> str | None:
    """Why the run would end before so many steps have been traced; None if it would not."""
    if num_steps + WARM_UP <= steps_left:
        return None
    most = steps_left - WARM_UP
    remedy = f"use --profile {most} or " if most > 0 else ""
    return (
        f"--profile {num_steps} takes {WARM_UP} steps to warm up and {num_steps} to trace, but "
        f"{steps_left} are left to train; {remedy}raise train.steps, or leave --profile out"
    )
