"""What is measured after training."""

from typing import Annotated

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig


class ProbeConfig(StrictConfig):
    """Probes on pen strokes: do frozen features tell which character a hand is writing?"""

    splits: int = Field(default=3, ge=1, le=20)
    """Ways of holding drawers out; the report gives mean and standard deviation over them."""

    held_out_drawers: int = Field(default=5, ge=1)
    """Drawers that a split keeps for testing."""

    characters: int = Field(default=25, ge=2)
    """Characters used, spread evenly over the alphabets; each is drawn once by every drawer."""

    neighbours: int = Field(default=10, ge=1)
    """k of the k-NN probe."""


class EvaluationConfig(StrictConfig):
    """What runs after training: held-out prediction, rank, pictures and, if asked, probes."""

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

    probes: ProbeConfig | None = None
    """Probes on frozen features; null leaves them out."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> "EvaluationConfig":
        if not self.mask_seeds or len(set(self.mask_seeds)) < len(self.mask_seeds):
            raise ValueError(
                f"evaluation.mask_seeds={list(self.mask_seeds)} must name one or more different "
                "seeds, e.g. [0, 1, 2]"
            )
        return self
