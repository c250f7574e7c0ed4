"""The training loss on data that was not trained on, against the weights before training."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Objective


class Config(StrictConfig):
    """The loss and each of its terms on fixed held-out samples, for any method."""

    needs: ClassVar[type] = Objective
    needs_held_out: ClassVar[bool] = True

    max_samples: int = Field(default=256, ge=1)
    """Held-out clips, one of each video, or windows, one of each episode; the first ones."""
    batch_size: int = Field(default=32, ge=1)
    """Samples of which one loss is taken; the mean over batches counts."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Each draws masks, noise and levels anew, alike for the trained and the untrained model."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """None: every method has a loss."""
        del offer
        yield from ()

    def run(self, subject: Subject) -> TaskResult:
        """The losses of both models."""
        from worldmodel_train.data.preparation import as_read
        from worldmodel_train.evaluation.latents.loss_result import loss_result
        from worldmodel_train.evaluation.latents.losses import Batches, measure_losses

        samples = subject.data.held_out_content(self.max_samples)
        batches = Batches(
            samples=samples, size=self.batch_size, prepare=subject.preparation or as_read
        )
        return loss_result(
            measure_losses(subject.trained, batches, self.seeds),
            measure_losses(subject.untrained, batches, self.seeds),
            method=subject.method,
            num_samples=samples.num_samples,
        )
