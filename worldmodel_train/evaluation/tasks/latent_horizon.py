"""How far ahead latents are predicted from past frames alone, beside copying and extrapolating."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.protocols import LatentPredictor

PICTURES = "evaluation/latent_horizon"
"""Folder of the pictures, below the run directory."""


class Config(StrictConfig):
    """Explained variance of the latents of later tubelets, given the first ones, by horizon."""

    needs: ClassVar[type] = LatentPredictor
    needs_held_out: ClassVar[bool] = True

    max_clips: int = Field(default=256, ge=1)
    """Held-out clips that are measured, the first ones in the order of the shards."""
    clips_per_video: int = Field(default=8, ge=1)
    """Start times taken from each held-out video, spread over its length."""
    batch_size: int = Field(default=32, ge=1)
    """Clips per forward pass."""
    visible: float = Field(default=0.5, gt=0, lt=1)
    """Share of a clip's tubelets that are seen, the first ones; rounded to whole tubelets."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """A method whose clips get no masks, and clips with too little past or future."""
        if not isinstance(offer.preparation, MaskPreparation):
            yield "measures latents of masked clips, and this method masks none; leave it out"
            return
        held_out = offer.data.facts().held_out
        if held_out is not None:
            problem = self._too_short(held_out.clip.frames // offer.preparation.tubelet)
            yield from () if problem is None else (problem,)

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both models at each horizon, and their lines as a picture."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.latents.horizon_result import (
            ComparedHorizons,
            horizon_gallery,
            horizon_numbers,
            horizon_section,
            tubelet_seconds,
        )
        from worldmodel_train.evaluation.latents.horizons import measure_horizons

        held_out = subject.held_out_clips(
            limit=self.max_clips, clips_per_video=self.clips_per_video
        )
        models = Contestants.of(subject, LatentPredictor)
        tubelets = models.trained.token_grid(held_out.clips[:1]).frames
        problem = self._too_short(tubelets)
        if problem is not None:
            raise ValueError(f"latent_horizon {problem}")
        num_seen = self._num_seen(tubelets)
        trained, untrained = (
            measure_horizons(model, held_out, num_seen=num_seen, batch_size=self.batch_size)
            for _, model in models
        )
        both = ComparedHorizons(
            trained=trained,
            untrained=untrained,
            tubelet_seconds=tubelet_seconds(held_out, tubelets, fps=subject.clip_data.held_out_fps),
        )
        return TaskResult(
            measured_on=f"{len(held_out.clips)} clips of {len(set(held_out.keys))} held-out "
            f"videos, {num_seen} of {tubelets} tubelets seen",
            caption="Explained variance: 1 is perfect, 0 as good as the mean latent.",
            numbers=tuple(horizon_numbers(both)),
            sections=(horizon_section(both),),
            galleries=(horizon_gallery(both, subject.run_dir, PICTURES),),
        )

    def _num_seen(self, tubelets: int) -> int:
        return round(self.visible * tubelets)

    def _too_short(self, tubelets: int) -> str | None:
        seen = self._num_seen(tubelets)
        if min(seen, tubelets - seen) >= 2:
            return None
        remedy = "use visible=0.5" if tubelets >= 4 else "give clips of 4 tubelets or more"
        return (
            f"needs 2 tubelets to see and 2 to predict, and visible={self.visible:g} of the "
            f"{tubelets} of a held-out clip leaves {seen} and {tubelets - seen}; {remedy}"
        )
