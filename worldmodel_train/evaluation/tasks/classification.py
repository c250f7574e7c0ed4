"""How many held-out videos are named rightly by the probes of a `probes/` run."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.task import HoldsOutClips, Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Classifier


class Config(StrictConfig):
    """Accuracy of each probe, with the probabilities of several views of a video averaged.

    Where several labels may be true of a video, mean average precision.
    """

    needs: ClassVar[type] = Classifier
    needs_held_out: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    times: int = Field(default=1, ge=1)
    """Groups of clips cut from each video, each group as many as a probe sees together, spread over
    its length."""
    crops: Literal[1, 3] = 1
    """Places that each is cut at: the centre, or also both ends of the longer side."""
    batch_size: int = Field(default=4, ge=1)
    """Videos per forward pass, each with all its clips."""
    max_films: int = Field(default=1000, ge=1)
    """Held-out films, where the recipe renders its clips; of videos all are taken."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data that are not clips, and several views of films."""
        if isinstance(offer.data, DataConfig):
            return
        if not isinstance(offer.data, HoldsOutClips):
            yield "measures on videos, and the recipe reads none; leave it out"
        elif self.times * self.crops > 1:
            yield "a film is seen once and whole; use times: 1 and crops: 1"

    def run(self, subject: Subject) -> TaskResult:
        """Accuracies, or average precisions, over `data.held_out`, read once from front to back."""
        from worldmodel_train.evaluation.probing.classification_result import classification_result
        from worldmodel_train.evaluation.probing.classification_scores import (
            NamedVideos,
            measure_accuracies,
        )
        from worldmodel_train.evaluation.probing.several_classes import several_classes_result

        named = NamedVideos.of(
            subject,
            times=self.times,
            crops=self.crops,
            batch_size=self.batch_size,
            max_films=self.max_films,
        )
        if isinstance(subject.data, DataConfig) and subject.data.labels == "many":
            return several_classes_result(named)
        return classification_result(measure_accuracies(named))
