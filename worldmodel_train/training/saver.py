"""Saves the run: every few steps, at its end, and on a signal."""

import logging

import lightning.pytorch as pl

from worldmodel_train.training.checkpoint import CheckpointConfig, CheckpointFolder
from worldmodel_train.training.guard import BrokenRunError
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.training.run_state import all_finite, collect
from worldmodel_train.training.step_callback import StepCallback
from worldmodel_train.training.watch import Watch

logger = logging.getLogger(__name__)


class Saver(StepCallback):
    """Runs last among the callbacks, so that what is saved has been looked at by the guard."""

    def __init__(
        self, *, config: CheckpointConfig, folder: CheckpointFolder, recipe_yaml: str,
        global_batch: int, watch: Watch,
    ) -> None:  # fmt: skip
        self._config = config
        self._folder = folder
        self._recipe_yaml = recipe_yaml
        self._global_batch = global_batch
        self._watch = watch
        self.stopped_by = 0
        """The signal that ended the run, 0 for none."""

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Saves when it is time to; leaves after a signal."""
        self.stopped_by = self._watch.signals.agreed()
        due = module.step % self._config.every_steps == 0 or module.step == module.plan.steps
        if due or self.stopped_by:
            with self._watch.clock.stopped():
                self._save(trainer, module)
        if self.stopped_by:
            trainer.should_stop = True

    def _save(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if not all_finite(module.objective):
            self._refuse(module.step)
            return
        state = collect(module, global_batch=self._global_batch, watch=self._watch.guard.state())
        if trainer.is_global_zero:
            path = self._folder.save(state, self._recipe_yaml)
            if not self._watch.guard.suspicious:
                self._folder.prune(self._config)
            logger.info("saved %s", path)
        trainer.strategy.barrier()

    def _refuse(self, step: int) -> None:
        problem = (
            f"weights are NaN or infinite after step {step}, so nothing was saved; the last "
            f"checkpoint is {self._folder.last()}"
        )
        if self._watch.guard.stops_on_non_finite:
            raise BrokenRunError(f"{problem}. Lower optim.lr or set optim.clip_grad_norm")
        logger.warning("%s", problem)
