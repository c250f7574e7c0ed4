"""Whether latents tell how two views of a clip differ, and that they are of one clip."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import HoldsOutClips, Offer, Subject
from worldmodel_train.evaluation.task_result import (
    UNTRAINED,
    Measured,
    Number,
    Section,
    TaskResult,
    contenders_tables,
    once,
)
from worldmodel_train.models.views.colours import Jitter
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.protocols import Encoder

if TYPE_CHECKING:
    from worldmodel_train.evaluation.probing.view_scores import ViewScores

PIXELS = "pooled 8x8 pixels"
_FEWEST = 8  # a quarter is tested on


class Config(StrictConfig):
    """Equivariance and invariance: what is told of a change, and whether a clip is found again."""

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = True

    view: ViewConfig = ViewConfig(jitter=Jitter(probability=1.0, grey=0.0, blur=0.0))
    """How both views of a clip are drawn."""
    max_clips: int = Field(default=512, ge=_FEWEST)
    """Held-out clips, the first ones in the order of the shards."""
    clips_per_video: int = Field(default=1, ge=1)
    """Start times taken from each held-out video."""
    splits: int = Field(default=3, ge=1)
    """Ways of holding clips out from the probes."""
    batch_size: int = Field(default=64, ge=1)
    """Clips per forward pass."""
    seed: int = Field(default=0, ge=0)
    """Of the views, alike for all."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data without clips."""
        if not isinstance(offer.data, HoldsOutClips):
            yield "draws views of clips, and the recipe reads none; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both models' latents, and of pixels."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.view_scores import (
            ViewPairs,
            encoder_features,
            view_scores,
        )
        from worldmodel_train.probes.pooled_features import pooled_pixels

        held_out = subject.held_out_clips(
            limit=self.max_clips, clips_per_video=self.clips_per_video
        )
        if len(held_out.clips) < _FEWEST:
            raise ValueError(
                f"view_changes: {len(held_out.clips)} held-out clips are too few to hold some out "
                f"of the probes; hold out {_FEWEST} or more, or raise clips_per_video"
            )
        pairs = ViewPairs.of(held_out.clips, self.view, self.seed)
        models = Contestants.of(subject, Encoder)
        trained, untrained, pixels = (
            view_scores(pairs, features, splits=self.splits)
            for features in (
                encoder_features(models.trained, self.batch_size),
                encoder_features(models.untrained, self.batch_size),
                pooled_pixels,
            )
        )
        numbers = tuple(_numbers(trained, {UNTRAINED: untrained, PIXELS: pixels}))
        return TaskResult(
            measured_on=f"two views of each of {len(held_out.clips)} held-out clips",
            caption="Share of the variance of a change that is told (1 is all); mirrored: area "
            "under the ROC curve, chance .5.",
            numbers=numbers,
            sections=(
                Section(
                    title="What was done to a view",
                    tables=contenders_tables("Mean ± spread over clips held out", numbers),
                    notes={
                        "Told": "A ridge regression from the mean latents of two views of a clip "
                        "to how the second differs from the first, on clips that it has not seen: "
                        "latents that tell it are equivariant.",
                        "Same clip found": "How often, of one view's mean latent, the likest among "
                        "the second views of all clips is that of its own clip: latents that find "
                        "it whatever was done to it are invariant.",
                    },
                ),
            ),
        )


def _numbers(trained: "ViewScores", baselines: "Mapping[str, ViewScores]") -> Iterator[Number]:
    for name, values in trained.told.items():
        yield Number(
            name=f"told, {name}",
            trained=Measured(values=values),
            baselines={who: Measured(values=one.told[name]) for who, one in baselines.items()},
        )
    yield Number(
        name="same clip found",
        unit="percent",
        trained=once(trained.found),
        baselines={who: once(one.found) for who, one in baselines.items()},
    )
