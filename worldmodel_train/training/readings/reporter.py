"""Reads the metrics every few steps, shows them, stores them, and lets the guard look at them."""

from collections.abc import Sequence

import lightning.pytorch as pl

from worldmodel_train.data.health import SkipLedger, Tally
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.ranks.stragglers import Stragglers
from worldmodel_train.training.readings.measure import read
from worldmodel_train.training.readings.progress import ProgressView
from worldmodel_train.training.readings.reading import Reading
from worldmodel_train.training.readings.sinks import Sink
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.training.watch import Watch
from worldmodel_train.types import VideoBatch


class Reporter(StepCallback):
    """Every rank takes the reading and checks it; only the first one has a view and sinks."""

    def __init__(
        self, watch: Watch, *, ledger: SkipLedger, view: ProgressView | None, sinks: Sequence[Sink]
    ) -> None:
        self._watch = watch
        self._ledger = ledger
        self._view = view
        self._sinks = sinks
        self._stragglers = Stragglers()
        self.last_reading: Reading | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        assert isinstance(pl_module, TrainingModule)
        self._watch.clock.begin(pl_module.step)

    def on_batch(self, batch: VideoBatch) -> None:
        """Counts what the batch had to leave out."""
        self._ledger.add(batch)

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Reports when it is time to."""
        self._watch.clock.count_step()
        if self._view is not None:
            self._view.step(module.step)
        if module.plan.observed(module.step):
            reading = read(module, self._watch.clock.read())
            tallies = self._watch.agreement.gather(self._ledger.take())
            self._report(reading, tallies)

    def _report(self, reading: Reading, tallies: Sequence[Tally]) -> None:
        self.last_reading = reading
        self._ledger.settle(tallies)
        for sink in self._sinks:
            sink.write(reading, self._ledger.counts)
        if self._view is not None:
            self._view.reading(reading, self._ledger.counts)
            self._stragglers.look(reading)
        self._watch.guard.check(reading)
