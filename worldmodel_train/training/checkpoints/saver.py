"""Saves the run: every few steps, at its end, and on a signal."""

import logging
from collections.abc import Callable

import lightning.pytorch as pl

from worldmodel_train.batch import Batch
from worldmodel_train.data.health import TooMuchBadDataError
from worldmodel_train.data.stream_positions import merge_streams
from worldmodel_train.models.frozen import fingerprints
from worldmodel_train.training.checkpoints.files import Progress
from worldmodel_train.training.checkpoints.folder import CheckpointConfig, CheckpointFolder
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.guard import BrokenRunError
from worldmodel_train.training.layouts.layout import all_finite
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.ranks.told_to_leave import LeftWaitingError
from worldmodel_train.training.run_context import RunContext
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.types import Content

logger = logging.getLogger(__name__)


class Saver(StepCallback):
    """Runs last among the callbacks, so that what is saved has been looked at by the guard.

    `settle` brings the guard up to the step, where a reading is still under way.
    """

    def __init__(
        self, *, config: CheckpointConfig, folder: CheckpointFolder, writer: CheckpointWriter,
        global_batch: int, context: RunContext, settle: Callable[[], None],
    ) -> None:  # fmt: skip
        self._config = config
        self._folder = folder
        self._writer = writer
        self._global_batch = global_batch
        self._context = context
        self._settle = settle
        self._prunes = False
        self._begun_at: int | None = None  # the step of the last checkpoint that has begun
        self._asked: Callable[[], tuple[int, ...]] | None = None
        self._streams = context.streams.state()  # as the last step left them
        self.stopped_by = 0
        """The signal that ended the run, 0 for none."""

    def on_batch(self, batch: Batch[Content]) -> None:
        """Remembers how far the batch's streams had been read."""
        self._context.streams.add(batch)

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Saves when it is time to; leaves after a signal."""
        context = self._context
        context.signals.catch()  # from the first step on there is something to save
        self._streams = context.streams.state()
        before = self._asked
        self._asked = context.agreement.ask(context.signals.received, -self._writer.written)
        # several ranks hear the answer a step later, so that none waits for the slowest one's word
        answer = self._asked if context.agreement.alone else before
        self.stopped_by, least_written = answer() if answer is not None else (0, 0)
        is_last = module.step == module.plan.steps or bool(self.stopped_by)
        if self._writer.pending and (-least_written == self._writer.begun or is_last):
            self._finish(trainer)
        if is_last or module.step % self._config.every_steps == 0:
            with context.clock.stopped():
                self._save(trainer, module, is_last=is_last)
        if is_last:
            self._asked()  # nothing is left on its way
        if self.stopped_by:
            trainer.should_stop = True

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Finishes the save that had begun, where no other rank has to be waited for.

        All ranks see at one step that a run is broken, or fed too much bad data. Any other error
        may be one rank's alone. A run on one rank that a signal ends while it waits for data is
        saved as the last step left it.
        """
        together = isinstance(exception, (BrokenRunError, TooMuchBadDataError))
        together = together or self._context.agreement.alone
        if isinstance(exception, LeftWaitingError) and self._context.agreement.alone:
            assert isinstance(pl_module, TrainingModule)
            self._save_as_left(trainer, pl_module)
        if together and isinstance(exception, Exception) and self._writer.pending:
            self._finish(trainer)

    def _save_as_left(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Makes sure that the last step is saved; what is saved already is not touched."""
        if self._begun_at != module.step:
            with self._context.clock.stopped():
                self._save(trainer, module, is_last=True)
        elif self._writer.pending:
            self._finish(trainer)

    def _save(self, trainer: pl.Trainer, module: TrainingModule, *, is_last: bool) -> None:
        self._settle()
        (bad,) = self._context.agreement.greatest(int(not all_finite(module.layout)))
        if bad:
            self._refuse(module.step)
            return
        if self._writer.pending:
            # the disk is slower than checkpoint.every_steps
            self._finish(trainer)
        # a checkpoint that may hold a collapsed model takes nobody's place
        self._prunes = not self._context.guard.suspicious
        probe = self._context.online_probe
        self._writer.begin(
            module.layout.pieces(),
            self._progress(module),
            online_probe={} if probe is None else probe.state(),
        )
        self._begun_at = module.step
        if is_last or not self._config.asynchronous:
            self._finish(trainer)

    def _progress(self, module: TrainingModule) -> Progress:
        return Progress(
            step=module.step,
            samples_seen=module.step * self._global_batch,
            optimizer_step=module.layout.moments.step(),
            shapes=module.shapes,
            episodes=self._context.episodes,
            watch=self._context.guard.state(),
            alarms=self._context.alarms.state(),
            streams=merge_streams(self._context.agreement.gather(self._streams)),
            frozen=fingerprints(module.objective),
            collected={} if (acts := self._context.collector) is None else acts.state(),
        )

    def _finish(self, trainer: pl.Trainer) -> None:
        with self._context.clock.stopped():
            path = self._writer.finish()
        if trainer.is_global_zero:
            if self._prunes:
                self._folder.prune(self._config)
            logger.info("saved %s", path)

    def _refuse(self, step: int) -> None:
        problem = (
            f"weights are NaN or infinite after step {step}, so nothing was saved; the last "
            f"checkpoint is {self._folder.last()}"
        )
        if self._context.guard.stops_on_non_finite:
            raise BrokenRunError(f"{problem}. Lower optim.lr or set optim.clip_grad_norm")
        logger.warning("%s", problem)
