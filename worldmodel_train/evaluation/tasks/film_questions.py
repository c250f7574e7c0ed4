"""Probes on films of a world of our own, whose every state is known."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject, not_square
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Encoder

if TYPE_CHECKING:
    from torch import Tensor

    from worldmodel_train.evaluation.probing.film_labels import LabelledFilms
    from worldmodel_train.evaluation.probing.probe_scores import ProbeSuite


class Config(StrictConfig):
    """Do frozen features tell what happens before a random background?

    Shape, direction, speed and bouncing of one thing of random colour, size and place; how many
    things there are; whether two have met; whether something is behind a screen.
    """

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = False

    films: int = Field(default=1000, ge=20)
    """Films for each set of questions."""
    fps: float = Field(default=8.0, gt=0)
    """Pictures a second: those of the films that a run was trained on."""
    splits: int = Field(default=3, ge=1)
    """Ways of holding films out; the report gives mean and standard deviation over them."""
    held_out: int = Field(default=250, ge=1)
    """Films of each set that a split keeps for testing; no split shares one with another."""
    neighbours: int = Field(default=10, ge=1)
    """k of the k-NN probe."""
    batch_size: int = Field(default=64, ge=1)
    """Clips per forward pass."""

    @model_validator(mode="after")
    def _films_are_left_to_learn_from(self) -> "Config":
        if self.splits * self.held_out > self.films or self.held_out + self.neighbours > self.films:
            raise ValueError(
                f"films={self.films} do not give splits={self.splits} x held_out={self.held_out} "
                f"films of their own, or leave fewer than neighbours={self.neighbours} to learn "
                "from; use more films or hold out fewer"
            )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Clips that are not square."""
        yield from not_square(offer)

    def run(self, subject: Subject) -> TaskResult:
        """The accuracies, on films of the length and size that the recipe's clips have."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.probe_features import probe_features
        from worldmodel_train.evaluation.probing.probe_scores import probe_result
        from worldmodel_train.evaluation.probing.probe_words import film_words

        models = Contestants.of(subject, Encoder)
        suite = self.asked(subject, lambda films: probe_features(models, films, self.batch_size))
        return probe_result(suite, film_words)

    def film_sets(self, subject: Subject) -> "Iterator[LabelledFilms]":
        """The films of each set of questions, as long and as large as the recipe's clips."""
        from worldmodel_train.envs.balls import FilmShape
        from worldmodel_train.evaluation.probing.film_labels import labelled_films

        clip = subject.data.facts().measured_clip
        shape = FilmShape(frames=clip.frames, size=clip.width, fps=self.fps)
        yield from labelled_films(shape, self.films)

    def asked(
        self, subject: Subject, features: "Callable[[Tensor], Mapping[str, Tensor]]"
    ) -> "ProbeSuite":
        """What probes answer from some features of films."""
        import torch

        from worldmodel_train.evaluation.probing.probe_scores import ProbeSuite
        from worldmodel_train.evaluation.probing.probe_suite import (
            LabelledFeatures,
            group_splits,
            run_probes,
        )

        each = torch.arange(self.films)
        splits = list(group_splits(each, splits=self.splits, held_out=self.held_out))
        suites = [
            run_probes(
                LabelledFeatures(features=features(films.clips), labels=films.labels, groups=each),
                splits,
                neighbours=self.neighbours,
            )
            for films in self.film_sets(subject)
        ]
        return ProbeSuite.joined(suites)
