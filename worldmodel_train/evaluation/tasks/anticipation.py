"""How often the probes of a `probes/anticipation` run expect what is then done."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Classifier


class Config(StrictConfig):
    """Mean-class recall at 5 of each kind of class, such as verbs, nouns and actions."""

    needs: ClassVar[type] = Classifier
    needs_held_out: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    batch_size: int = Field(default=4, ge=1)
    """Clips per forward pass, the middle one of each video."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data that are not videos with a label of each kind."""
        data = offer.data
        if not isinstance(data, DataConfig):
            yield "measures on videos, and the recipe reads none; leave it out"
        elif data.labels != "many":
            yield "needs a label of each kind of class; set data.labels=many"

    def run(self, subject: Subject) -> TaskResult:
        """Recalls over `data.held_out`, read once from front to back."""
        from worldmodel_train.data.class_kinds import class_kinds
        from worldmodel_train.evaluation.probing.anticipation_result import anticipation_result
        from worldmodel_train.evaluation.probing.class_recall import measure_recalls
        from worldmodel_train.evaluation.probing.classification_scores import NamedVideos

        assert isinstance(subject.data, DataConfig), "the recipe was checked"
        assert subject.data.classes is not None, "the recipe was checked"
        named = NamedVideos.of(subject, batch_size=self.batch_size)
        return anticipation_result(measure_recalls(named, class_kinds(subject.data.classes)), named)
