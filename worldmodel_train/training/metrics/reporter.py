"""Reads the metrics every few steps, shows them, stores them, and lets the guard look at them."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import lightning.pytorch as pl
from torch import Tensor

from worldmodel_train.batch import Batch
from worldmodel_train.data.health import SkipLedger, Tally
from worldmodel_train.training.metrics.measure import (
    Measurement,
    RankReading,
    begin,
    finish,
)
from worldmodel_train.training.metrics.progress import ProgressView
from worldmodel_train.training.metrics.sinks import Sink
from worldmodel_train.training.metrics.stragglers import Stragglers
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.run_context import RunContext
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.training.step_metrics import StepMetrics
from worldmodel_train.types import Content

logger = logging.getLogger(__name__)

LATE_STEPS = {"cpu": 0, "cuda": 5}
"""Steps from a reading to its report. A GPU goes on meanwhile: copying the latents and finding
their eigenvalues on the host takes up to a second."""


@dataclass(frozen=True, kw_only=True)
class _Underway:
    """A reading that has begun and is not reported."""

    measurement: Measurement
    values: Callable[[], RankReading]
    tally: Tally
    due: int
    """The step after which it is reported; the same on every rank."""


class Reporter(StepCallback):
    """Every rank takes the reading and checks it; only the first one has a view and sinks.

    A reading is reported a few steps after its own, but before the next one and before a save. On
    which step does not hang on how fast a thread is, so that all ranks decide alike.
    """

    def __init__(
        self,
        context: RunContext,
        *,
        ledger: SkipLedger,
        view: ProgressView | None,
        sinks: Sequence[Sink],
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._view = view
        self._sinks = sinks
        self._stragglers = Stragglers()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reading")
        self._underway: _Underway | None = None
        self.last_metrics: StepMetrics | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        assert isinstance(pl_module, TrainingModule)
        self._context.clock.begin(pl_module.step)

    def on_batch(self, batch: Batch[Content]) -> None:
        """Counts what the batch had to leave out."""
        self._ledger.add(batch)

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Reports when it is time to."""
        self._context.clock.count_step()
        if self._view is not None:
            self._view.step(module.step)
        if module.plan.observed(module.step):
            self.settle()
            self._underway = self._begin(module)
        if self._underway is not None and module.step >= self._underway.due:
            self.settle()

    def settle(self) -> None:
        """Reports the reading that is under way, if there is one; called by all ranks together.

        Raises:
            BrokenRunError: The guard stops the run.
            TooMuchBadDataError: The loader leaves out too much.
        """
        underway, self._underway = self._underway, None
        if underway is None:
            return
        ranks = self._context.agreement.gather((underway.values(), underway.tally))
        metrics = finish(underway.measurement, [values for values, _ in ranks])
        self._report(metrics, [tally for _, tally in ranks])

    def _begin(self, module: TrainingModule) -> _Underway:
        measurement = begin(module, self._context.clock.read(), self._acted(), self._probed())
        late = LATE_STEPS[module.device.type]
        values = self._thread.submit(measurement.values).result if late else measurement.values
        return _Underway(
            measurement=measurement,
            values=values,
            tally=self._ledger.take(),
            due=module.step + late,
        )

    def _acted(self) -> dict[str, float]:
        collector = self._context.collector
        return {} if collector is None else collector.values()

    def _probed(self) -> dict[str, Tensor]:
        probe = self._context.online_probe
        return {} if probe is None else probe.values()

    def _report(self, metrics: StepMetrics, tallies: Sequence[Tally]) -> None:
        metrics = replace(metrics, alarms=self._context.alarms.look(metrics))
        self.last_metrics = metrics
        self._ledger.settle(tallies)
        for sink in self._sinks:
            sink.write(metrics, self._ledger.counts)
        if self._view is not None:
            self._view.reading(metrics, self._ledger.counts)
            self._stragglers.look(metrics)
            for name, text in metrics.alarms.items():
                logger.warning("%s at step %d: %s", name, metrics.step, text)
        self._context.guard.check(metrics)
