"""How far frozen latents move when clips are noisy, blurred, covered, cut up, slower or brighter.

Of features that hardly see a clip, drift says that they are steady; retrieval is the check on that,
and so is a probe where the clips have known classes.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.robustness.corruptions import (
    CORRUPTIONS,
    CorruptionName,
    corrupted,
)
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED, Gallery, TaskResult
from worldmodel_train.protocols import Encoder

if TYPE_CHECKING:
    from worldmodel_train.data.fixed import FixedClips

PICTURES = "evaluation/robustness"
"""Folder of the picture, below the run directory."""
ALL: tuple[CorruptionName, ...] = get_args(CorruptionName)
OF_TIME: tuple[CorruptionName, ...] = ("dropped_frames", "slow_motion")
"""Those that a single frame cannot show."""


class Config(StrictConfig):
    """Drift, retrieval and a probe of mean latents under corruptions, five strengths each."""

    needs: ClassVar[type] = Encoder
    needs_held_out: ClassVar[bool] = True

    max_clips: int = Field(default=64, ge=2)
    """Held-out clips that are measured, the first ones in the order of the shards."""
    clips_per_video: int = Field(default=8, ge=1)
    """Start times taken from each held-out video, spread over its length."""
    corruptions: tuple[CorruptionName, ...] = ALL
    """Those that are tried; their strengths are fixed."""
    seed: int = Field(default=0, ge=0)
    """Of noise, and of the places and frames that are lost; alike for all features."""
    batch_size: int = Field(default=32, ge=1)
    """Clips per forward pass."""

    @model_validator(mode="after")
    def _corruptions_differ(self) -> "Config":
        if not self.corruptions or len(set(self.corruptions)) < len(self.corruptions):
            raise ValueError(
                f"corruptions={list(self.corruptions)} must name one or more different "
                f"corruptions, of: {', '.join(ALL)}"
            )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data that are not clips, and clips without time for what is done to time."""
        if offer.data.facts().kind != "clips":
            yield "corrupts clips, and the recipe reads none; leave it out"
            return
        held_out = offer.data.facts().held_out
        idle = [one for one in OF_TIME if one in self.corruptions]
        if held_out is not None and held_out.clip.frames < 2 and idle:
            yield (
                f"{' and '.join(idle)} do nothing to clips of one frame; name other corruptions, "
                "such as corruptions=[gaussian_noise, occlusion]"
            )

    def run(self, subject: Subject) -> TaskResult:
        """Both encoders and pooled pixels under every corruption, and what that looks like."""
        from worldmodel_train.evaluation.frozen import Contestants, mean_latents
        from worldmodel_train.evaluation.robustness.robustness_result import (
            PIXELS,
            robustness_result,
        )
        from worldmodel_train.evaluation.robustness.robustness_scores import measure_robustness
        from worldmodel_train.probes.pooled_features import pooled_pixels

        models, held_out = Contestants.of(subject, Encoder), self._held_out(subject)
        measured = measure_robustness(
            {
                TRAINED: partial(mean_latents, models.trained, batch_size=self.batch_size),
                UNTRAINED: partial(mean_latents, models.untrained, batch_size=self.batch_size),
                PIXELS: pooled_pixels,
            },
            held_out,
            self.corruptions,
            seed=self.seed,
        )
        result = robustness_result(
            measured, num_clips=len(held_out.clips), num_videos=len(set(held_out.keys))
        )
        return result.model_copy(update={"galleries": (self._gallery(held_out, subject),)})

    def _gallery(self, held_out: "FixedClips", subject: Subject) -> Gallery:
        """The first clip's middle frame, clean and under each corruption, a row each."""
        from worldmodel_train.cartography.tiling import tile
        from worldmodel_train.evaluation.pictures import save_pictures

        clip, middle = held_out.clips[:1], held_out.clips.shape[1] // 2

        def row(name: CorruptionName) -> Tensor:
            five = CORRUPTIONS[name].strengths
            worse = (corrupted(clip, name, strength, seed=self.seed) for strength in five)
            return torch.cat([clip, *worse])[:, middle]

        sheets = {
            "one clip, every corruption": tile(
                torch.stack([row(name) for name in self.corruptions])
            )
        }
        return Gallery(
            title="Corrupted clips",
            shows="A clip's middle frame, clean and ever more corrupted",
            note="Left column: the first held-out clip's middle frame. To its right: the same at "
            f"five strengths, of {', '.join(self.corruptions)} from top to bottom.",
            pictures=save_pictures(subject.run_dir, f"{PICTURES}/corruptions", sheets.items()),
        )

    def _held_out(self, subject: Subject) -> "FixedClips":
        held_out = subject.held_out_clips(
            limit=self.max_clips, clips_per_video=self.clips_per_video
        )
        if len(set(held_out.keys)) < 2:
            raise ValueError(
                f"data.held_out gave {len(held_out.clips)} clips of one video; robustness compares "
                "videos: give more, or set robustness.max_clips above robustness.clips_per_video"
            )
        return held_out
