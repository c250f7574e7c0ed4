"""What frozen features know of the labels of any set, videos or images: by probes and retrieval."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.class_list import ClassNames
from worldmodel_train.data.config import DataConfig
from worldmodel_train.data.source_config import SourceConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Encoder

if TYPE_CHECKING:
    from worldmodel_train.data.fixed import Views


class Config(StrictConfig):
    """k-NN, a linear probe and retrieval of labelled videos or images, of one class each."""

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = False

    train: SourceConfig | None = None
    """Labelled shards to learn from, and the clips cut from them; null takes `data.sources`."""
    test: SourceConfig | None = None
    """Labelled shards to be tested on; null takes `data.held_out`."""
    classes: ClassNames = None
    """Names of all classes, or a text file with one a line; samples whose `label` is none of these
    are skipped. Null takes `data.classes`."""
    max_clips: int = Field(default=2000, ge=2)
    """Most videos to learn from, and most to be tested on, one clip of each, spread over the
    shards."""
    neighbours: int = Field(default=10, ge=1)
    """k of the k-NN probe."""
    batch_size: int = Field(default=32, ge=1)
    """Clips in memory at a time and per forward pass."""

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes is not None and (len(classes) < 2 or len(set(classes)) < len(classes)):
            raise ValueError(
                f"{len(classes)} classes of {len(set(classes))} names; name two or more, each once"
            )
        return classes

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data that are not clips of videos, and labels or shards that nobody names."""
        data = offer.data
        if not isinstance(data, DataConfig):
            yield "reads labelled clips as the recipe does, and the recipe reads none; leave it out"
            return
        if self.test is None and data.held_out is None:
            yield "needs labelled shards to be tested on: give test, or data.held_out"
        if self.classes is None and data.classes is None:
            yield "needs the names of the classes: give classes, or data.classes"
        elif self.classes is None and data.labels == "many":
            yield "reads one label of each video, and data.labels=many; give classes of its own"

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both encoders and of pixels, beside chance."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.label_result import label_result
        from worldmodel_train.evaluation.probing.label_scores import labelled_videos, measure_labels

        assert isinstance(subject.data, DataConfig), "the recipe was checked"
        own = {} if self.classes is None else {"classes": self.classes, "labels": "one"}
        data = subject.data.model_copy(update=own)
        tested = self.test or data.held_out
        assert tested is not None, "the recipe was checked"
        learned = data.sources if self.train is None else (self.train,)
        _require_other_shards(learned, tested)
        models = Contestants.of(subject, Encoder)
        train, test = (
            labelled_videos(models, self._videos(data, sources), self.batch_size)
            for sources in (learned, (tested,))
        )
        return label_result(measure_labels(train, test, neighbours=self.neighbours))

    def _videos(self, data: DataConfig, sources: tuple[SourceConfig, ...]) -> "Iterator[Views]":
        """At most `max_clips` videos, as many of each source."""
        from worldmodel_train.evaluation.probing.spread_videos import spread_videos

        for source in sources:
            yield from spread_videos(data, source, limit=max(1, self.max_clips // len(sources)))


def _require_other_shards(learned: tuple[SourceConfig, ...], tested: SourceConfig) -> None:
    """Raises ValueError where a probe would be tested on what it learned from."""
    from worldmodel_train.data.shards.resolve import resolve_shards

    asked = set(resolve_shards(tested))
    for source in learned:
        if shared := sorted(asked.intersection(resolve_shards(source))):
            raise ValueError(
                f"labels: {shared[0]} is both to learn from and to be tested on; name other shards"
            )
