"""A Lightning callback that thinks in optimizer steps."""

import lightning.pytorch as pl

from worldmodel_train.batch import Batch
from worldmodel_train.training.module import TrainingModule
from worldmodel_train.types import Content


class StepCallback(pl.Callback):
    """Calls `on_step_end` after each optimizer step, not after each micro-batch."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch[Content],
        batch_idx: int,
    ) -> None:
        """Passes on the batch, and the end of an optimizer step."""
        del outputs, batch_idx
        assert isinstance(pl_module, TrainingModule)
        self.on_batch(batch)
        if pl_module.micro_step == 0:
            self.on_step_end(trainer, pl_module)

    def on_batch(self, batch: Batch[Content]) -> None:
        """Looks at each micro-batch that was used; most callbacks need not."""

    def on_step_end(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Does this callback's work after `module.step` optimizer steps."""
        raise NotImplementedError
