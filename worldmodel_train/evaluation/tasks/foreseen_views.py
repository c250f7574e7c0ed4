"""Whether a model that is told of a change knows the clip by it: mean reciprocal rank."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import HoldsOutClips, Offer, Subject
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Measured,
    Number,
    TaskResult,
    once,
)
from worldmodel_train.models.views.colours import Jitter
from worldmodel_train.models.views.geometry import Crop
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.protocols import ForeseesViews

if TYPE_CHECKING:
    from worldmodel_train.evaluation.probing.foreseen_scores import Foreseen

_IN_PLACE = Crop(area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0)


class Config(StrictConfig):
    """A clip, and what is expected of it in other looks; which of many looks is meant? (IWM)."""

    needs: ClassVar[type] = ForeseesViews
    needs_held_out: ClassVar[bool] = True

    view: ViewConfig = ViewConfig(
        crop=_IN_PLACE, jitter=Jitter(probability=1.0, grey=0.0, blur=0.0)
    )
    """How views are drawn: where they are and how they look, from the clip as it is. IWM is told of
    looks alone, so a crop that moves its views asks it for what it cannot know."""
    views: int = Field(default=256, ge=2)
    """Views of each clip; 256 as published."""
    max_clips: int = Field(default=32, ge=1)
    """Held-out clips, the first ones in the order of the shards."""
    seed: int = Field(default=0, ge=0)
    """Of the views, alike for both models."""

    @model_validator(mode="after")
    def _views_are_as_large(self) -> "Config":
        if self.view.size is not None:
            raise ValueError("view.size: views are as large as the clip is; leave it out")
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data without clips."""
        if not isinstance(offer.data, HoldsOutClips):
            yield "draws views of clips, and the recipe reads none; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """Mean reciprocal ranks of both models, and of the trained one told of other changes."""
        from worldmodel_train.evaluation.probing.foreseen_scores import foreseen_scores

        held_out = subject.held_out_clips(limit=self.max_clips, clips_per_video=1)
        scores: list[Foreseen] = []
        for model in (subject.trained, subject.untrained):
            assert isinstance(model, ForeseesViews), "the recipe was checked"
            scores.append(
                foreseen_scores(model, held_out.clips, self.view, views=self.views, seed=self.seed)
            )
        return TaskResult(
            measured_on=f"{self.views} views of each of {len(held_out.clips)} held-out clips",
            caption="Mean reciprocal rank: 1 where the view that was foretold is always the "
            "nearest to what was expected. Whoever expects the same of all views scores chance. "
            "± over clips.",
            numbers=self._numbers(*scores),
        )

    def _numbers(self, trained: "Foreseen", untrained: "Foreseen") -> tuple[Number, ...]:
        from worldmodel_train.evaluation.probing.foreseen_scores import by_chance

        return (
            Number(
                name="view found (MRR)",
                trained=Measured(values=trained.told),
                baselines={
                    UNTRAINED: Measured(values=untrained.told),
                    "told of another view's change": Measured(values=trained.told_of_others),
                    "chance": once(by_chance(self.views)),
                },
            ),
            Number(
                name="squared error, of that of expecting no change",
                lower_is_better=True,
                trained=Measured(values=trained.error),
                baselines={UNTRAINED: Measured(values=untrained.error), "no change": once(1.0)},
            ),
        )
