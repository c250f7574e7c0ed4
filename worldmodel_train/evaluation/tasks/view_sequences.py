"""What a model that reads several views of a film tells of the film, and its views of changes."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from worldmodel_train.evaluation.task import Subject
from worldmodel_train.evaluation.task_result import UNTRAINED, Measured, Number, TaskResult
from worldmodel_train.evaluation.tasks import film_questions
from worldmodel_train.protocols import ReadsViews


class Config(film_questions.Config):
    """The questions of `film_questions`, of films of which views are seen; and where views lead.

    A view's latent should tell of changes, and what is made of several views should not need to.
    """

    needs: ClassVar[type] = ReadsViews

    seed: int = Field(default=0, ge=0)
    """Of the views, alike for both models."""

    def run(self, subject: Subject) -> TaskResult:
        """The accuracies, and of the first set of films what two views tell of the change."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.probe_scores import probe_result
        from worldmodel_train.evaluation.probing.probe_words import view_words
        from worldmodel_train.evaluation.probing.sequence_scores import (
            look_around,
            sequence_features,
            told_of_changes,
        )

        models = Contestants.of(subject, ReadsViews)
        suite = self.asked(
            subject,
            lambda films: sequence_features(
                models, look_around(models.trained, films, self.seed), self.batch_size
            ),
        )
        films = next(self.film_sets(subject)).clips
        told = told_of_changes(
            models,
            look_around(models.trained, films, self.seed),
            splits=self.splits,
            batch_size=self.batch_size,
        )
        result = probe_result(suite, view_words)
        return result.model_copy(update={"numbers": (*_told(told), *result.numbers)})


def _told(found: Mapping[str, Mapping[str, tuple[float, ...]]]) -> Iterator[Number]:
    """How well two views tell of each change: those of the trained model, the untrained, pixels."""
    if not found:
        return
    trained, untrained, pixels = found.values()
    (*_, called) = found
    for name, values in trained.items():
        yield Number(
            name=f"told by two views, {name}",
            trained=Measured(values=values),
            baselines={
                UNTRAINED: Measured(values=untrained[name]),
                called: Measured(values=pixels[name]),
            },
        )
