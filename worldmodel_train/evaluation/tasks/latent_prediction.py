"""How well hidden latents are predicted, how many directions latents use, and pictures of both."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.protocols import LatentPredictor

if TYPE_CHECKING:
    from worldmodel_train.data.fixed import FixedClips

PICTURES = "evaluation/latent_prediction"
"""Folder of the pictures, below the run directory."""


class Config(StrictConfig):
    """Explained variance of held-out latents under fresh masks, rank, and pictures."""

    needs: ClassVar[type] = LatentPredictor
    needs_held_out: ClassVar[bool] = True

    max_clips: int = Field(default=256, ge=2)
    """Held-out clips that are measured, the first ones in the order of the shards."""
    clips_per_video: int = Field(default=8, ge=1)
    """Start times taken from each held-out video, spread over its length."""
    batch_size: int = Field(default=32, ge=1)
    """Clips per forward pass."""
    mask_seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2)
    """Each seed draws masks anew; explained variance is given as mean and spread over them."""
    picture_clips: int = Field(default=4, ge=1, le=16)
    """Clips shown as pictures: masks, features, neighbours."""
    neighbours: int = Field(default=4, ge=1, le=10)
    """Nearest-neighbour clips shown beside each query clip."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Config":
        if not self.mask_seeds or len(set(self.mask_seeds)) < len(self.mask_seeds):
            raise ValueError(
                f"mask_seeds={list(self.mask_seeds)} must name one or more different seeds, "
                "e.g. [0, 1, 2]"
            )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """A method whose clips get no masks."""
        if not isinstance(offer.preparation, MaskPreparation):
            yield "measures latents of masked clips, and this method masks none; leave it out"

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both models, and the pictures."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.latents.latent_result import latent_result
        from worldmodel_train.evaluation.latents.latent_scores import Compared
        from worldmodel_train.evaluation.latents.latents import measure_latents
        from worldmodel_train.evaluation.pictures import Album

        assert isinstance(subject.preparation, MaskPreparation), "the recipe was checked"
        masks, models = subject.preparation.samplers, Contestants.of(subject, LatentPredictor)
        held_out = self._held_out(subject)
        trained, untrained = (
            measure_latents(
                model, held_out, masks, seeds=self.mask_seeds, batch_size=self.batch_size
            )
            for _, model in models
        )
        result = latent_result(
            Compared(trained=trained, untrained=untrained),
            num_clips=len(held_out.clips),
            num_videos=len(set(held_out.keys)),
            mask_groups=[str(sampler) for sampler in masks],
        )
        album = Album(
            held_out=held_out,
            run_dir=subject.run_dir,
            folder=PICTURES,
            shown=self.picture_clips,
            batch_size=self.batch_size,
        )
        galleries = (
            album.masks(models.trained, masks, seed=self.mask_seeds[0]),
            album.features(models),
            *album.neighbours(models, most=self.neighbours),
        )
        return result.model_copy(update={"galleries": galleries})

    def _held_out(self, subject: Subject) -> "FixedClips":
        held_out = subject.held_out_clips(
            limit=self.max_clips, clips_per_video=self.clips_per_video
        )
        if len(held_out.clips) < 2:
            raise ValueError(
                f"data.held_out gave {len(held_out.clips)} clips; latent_prediction needs 2 or more"
            )
        return held_out
