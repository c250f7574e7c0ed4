"""Probes on characters drawn stroke by stroke, by people whom the probe never saw."""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import Encoder

DRAWERS = 20
"""People who drew each of Omniglot's characters."""


class Config(StrictConfig):
    """Do frozen features tell which character a hand is writing, and of which alphabet?"""

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = False

    splits: int = Field(default=3, ge=1, le=20)
    """Ways of holding drawers out; the report gives mean and standard deviation over them."""
    held_out_drawers: int = Field(default=5, ge=1, lt=DRAWERS)
    """Drawers that a split keeps for testing."""
    characters: int = Field(default=25, ge=2)
    """Characters used, spread evenly over the alphabets; each is drawn once by every drawer."""
    neighbours: int = Field(default=10, ge=1)
    """k of the k-NN probe."""
    batch_size: int = Field(default=32, ge=1)
    """Clips per forward pass."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Clips that are not square."""
        clip = offer.data.facts().measured_clip
        if clip.height != clip.width:
            yield (
                f"draws square clips, and those of the recipe are {clip.height}x{clip.width}; "
                "leave it out"
            )

    def run(self, subject: Subject) -> TaskResult:
        """The accuracies, on clips of the length and size that the recipe has."""
        from worldmodel_train.data.pen_strokes import pen_stroke_clips
        from worldmodel_train.evaluation.frozen import Contestants
        from worldmodel_train.evaluation.probing.probe_features import probe_features
        from worldmodel_train.evaluation.probing.probe_scores import probe_result
        from worldmodel_train.evaluation.probing.probe_suite import (
            LabelledFeatures,
            group_splits,
            run_probes,
        )
        from worldmodel_train.evaluation.probing.probe_words import pen_stroke_words

        clip = subject.data.facts().measured_clip
        strokes = pen_stroke_clips(clip.frames, clip.width, limit_characters=self.characters)
        data = LabelledFeatures(
            features=probe_features(
                Contestants.of(subject, Encoder), strokes.clips, self.batch_size
            ),
            labels={"character": strokes.character, "alphabet": strokes.alphabet},
            groups=strokes.drawer,
        )
        splits = group_splits(strokes.drawer, splits=self.splits, held_out=self.held_out_drawers)
        suite = run_probes(data, list(splits), neighbours=self.neighbours)
        return probe_result(suite, pen_stroke_words)
