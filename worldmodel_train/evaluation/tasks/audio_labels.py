"""What frozen features know of the labels of recordings: by probes and retrieval."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.audio.config import AudioConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import SoundEncoder

if TYPE_CHECKING:
    from worldmodel_train.evaluation.frozen import Contestants
    from worldmodel_train.evaluation.probing.label_scores import LabelledVideos
    from worldmodel_train.types import Audio


class Config(StrictConfig):
    """k-NN, a linear probe and retrieval of labelled recordings, of one class each.

    Probes learn from `data.sources` and are tested on `data.held_out`: whoever is held out there,
    such as a speaker, is one whom neither encoder nor probe has heard.
    """

    needs: ClassVar[type] = SoundEncoder
    needs_held_out: ClassVar[bool] = True

    max_recordings: int = Field(default=2000, ge=2)
    """Most recordings to learn from, and most to be tested on, spread over the shards; of each the
    middle is heard."""
    neighbours: int = Field(default=10, ge=1)
    """k of the k-NN probe."""
    batch_size: int = Field(default=64, ge=1)
    """Recordings per forward pass."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Recordings without labels, or with several each."""
        data = offer.data
        assert isinstance(data, AudioConfig), "what it needs takes sound"
        if data.classes is None:
            yield "needs the names of the classes: give data.classes"
        elif data.labels == "many":
            yield "reads one label of each recording, and data.labels=many; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both encoders and of spectrograms, beside chance."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.label_result import label_result
        from worldmodel_train.evaluation.probing.label_scores import joined, measure_labels

        data, models = subject.data, Contestants.of(subject, SoundEncoder)
        assert isinstance(data, AudioConfig), "the recipe was checked"
        each = max(1, self.max_recordings // len(data.sources))
        learned = [self._heard(models, data.middles_of(one, each)) for one in data.sources]
        tested = self._heard(models, data.held_out_content(self.max_recordings))
        scores = measure_labels(joined(learned), tested, neighbours=self.neighbours)
        return label_result(scores, noun="recordings")

    def _heard(self, models: "Contestants[SoundEncoder]", audio: "Audio") -> "LabelledVideos":
        from worldmodel_train.evaluation.probing.label_scores import LabelledVideos
        from worldmodel_train.evaluation.probing.sound_features import sound_features

        assert audio.labels is not None, "the recipe was checked for classes"
        features = sound_features(models, audio, self.batch_size)
        return LabelledVideos(features=features, labels=audio.labels.long())
