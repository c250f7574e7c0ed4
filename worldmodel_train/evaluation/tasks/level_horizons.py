"""How far ahead each level of a hierarchy predicts its own latents, beside copying."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import LevelPredictor

PICTURES = "evaluation/level_horizons"
"""Folder of the pictures, below the run directory."""


class Config(StrictConfig):
    """Explained variance of each level's latents of a clip's second half, by horizon."""

    needs: ClassVar[type] = LevelPredictor
    needs_held_out: ClassVar[bool] = True

    max_clips: int = Field(default=256, ge=2)
    """Held-out clips, one of each video."""
    batch_size: int = Field(default=32, ge=1)
    """Clips per forward pass."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """None: the method refuses clips that are too short for it."""
        del offer
        yield from ()

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both models at each level and horizon, and their lines as a picture."""
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.latents.level_horizon_result import (
            ComparedLevel,
            level_gallery,
            level_numbers,
            level_section,
        )
        from worldmodel_train.evaluation.latents.level_horizons import measure_levels

        clips = subject.held_out_clips(limit=self.max_clips, clips_per_video=1).clips
        both = Contestants.of(subject, LevelPredictor)
        scores = zip(
            measure_levels(both.trained, clips, self.batch_size),
            measure_levels(both.untrained, clips, self.batch_size),
            strict=True,
        )
        levels = [
            ComparedLevel(number=number, trained=trained, untrained=untrained)
            for number, (trained, untrained) in enumerate(scores, start=1)
        ]
        return TaskResult(
            measured_on=f"{len(clips)} held-out clips, the first half of each seen",
            caption="Explained variance: 1 is perfect, 0 as good as the mean latent.",
            numbers=tuple(level_numbers(levels)),
            sections=(level_section(levels),),
            galleries=(level_gallery(levels, subject.run_dir, PICTURES),),
        )
