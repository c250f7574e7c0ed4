"""Whether a model that says how sure it is of latents is as sure as it should be."""

from collections.abc import Callable, Iterator, Sequence
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Measured,
    Number,
    Section,
    TaskResult,
    Unit,
    contenders_tables,
)
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.protocols import PredictsGaussians

if TYPE_CHECKING:
    from worldmodel_train.evaluation.latents.calibration import Calibration, Calibrations

CONSTANT, TARGETS = "same means, constant variances", "mean and variance of targets"


class Config(StrictConfig):
    """How often held-out latents lie where they were said to lie, under fresh masks."""

    needs: ClassVar[type] = PredictsGaussians
    needs_held_out: ClassVar[bool] = True

    max_samples: int = Field(default=256, ge=2)
    """Held-out clips, one of each video; the first ones."""
    batch_size: int = Field(default=32, ge=1)
    """Clips per forward pass, at most half of those there are: what is compared is fitted to every
    second batch."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Each draws masks anew, alike for the trained and the untrained model."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """A method whose clips get no masks."""
        if not isinstance(offer.preparation, MaskPreparation):
            yield "measures latents of masked clips, and this method masks none; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """Of both models, and of variances that do not depend on what is seen."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.latents.calibration import measure_calibration
        from worldmodel_train.evaluation.latents.losses import Batches

        assert subject.preparation is not None, "the recipe was checked"
        samples = subject.data.held_out_content(self.max_samples)
        size = min(self.batch_size, -(-samples.num_samples // 2))
        batches = Batches(samples=samples, size=size, prepare=subject.preparation)
        models = Contestants.of(subject, PredictsGaussians)
        trained, untrained = (
            [measure_calibration(model, batches, seed) for seed in self.seeds]
            for _, model in models
        )
        as_they_are = calibration_numbers(trained, untrained, _AS_IT_IS)
        return TaskResult(
            measured_on=f"every second batch of {samples.num_samples} held-out clips, under "
            f"{len(self.seeds)} draws of masks",
            caption="Right are 50 and 90 % inside and squares of 1; less surprise is better.",
            numbers=calibration_numbers(trained, untrained),
            sections=(
                Section(
                    title="Calibration of predicted variances",
                    tables=contenders_tables("Mean ± spread over draws of masks", as_they_are),
                    notes=_NOTES,
                ),
            ),
        )


_NOTES = {
    "Inside 50 and 90 %": "How often a number of a hidden latent lies in the middle part of the "
    "Gaussian that was predicted of it, and how far that is from so many percent.",
    "Standardised square": "Mean of (error / deviation)^2. Above 1 the model is too sure. Off by: "
    "its logarithm without sign.",
    "Surprise": "Mean -log density, in nats for each number: it also rewards variances that are "
    "small where errors are.",
    "Told": "Rank correlation over tokens of the predicted variance with the squared error. A "
    "constant variance tells nothing: 0.",
    "Constant variances": "Each number's mean squared error on the other batches. They are right "
    "in the mean whatever is seen, so only surprise and what is told can beat them.",
}


Read: TypeAlias = "tuple[tuple[str, Unit, Callable[[Calibration], float]], ...]"

_AS_IT_IS: Read = (
    ("inside 50 %", "percent", lambda one: one.inside[50]),
    ("inside 90 %", "percent", lambda one: one.inside[90]),
    ("standardised square", "number", lambda one: one.squares),
    ("surprise", "number", lambda one: one.surprise),
    ("told", "number", lambda one: one.told),
)
_TO_BEAT: Read = (
    ("inside 50 %, off by", "percent", lambda one: abs(one.inside[50] - 0.5)),
    ("inside 90 %, off by", "percent", lambda one: abs(one.inside[90] - 0.9)),
    ("standardised square, off by", "number", lambda one: abs(log(one.squares))),
    ("surprise", "number", lambda one: one.surprise),
    ("told", "number", lambda one: one.told),
)


def calibration_numbers(
    trained: "Sequence[Calibrations]", untrained: "Sequence[Calibrations]", read: Read = _TO_BEAT
) -> tuple[Number, ...]:
    """The numbers over the draws: how far off what should be of one size, and the others."""
    return tuple(
        Number(
            name=f"calibration, {name}",
            unit=unit,
            lower_is_better=name != "told",
            trained=_over(value, [each.predicted for each in trained]),
            baselines={
                UNTRAINED: _over(value, [each.predicted for each in untrained]),
                CONSTANT: _over(value, [each.constant for each in trained]),
                TARGETS: _over(value, [each.targets for each in trained]),
            },
        )
        for name, unit, value in read
    )


def _over(value: "Callable[[Calibration], float]", draws: "Sequence[Calibration]") -> Measured:
    return Measured(values=tuple(value(one) for one in draws))
