"""What latents, and predictions of them, look like: pixels of a decoder, beside simpler ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.masks import MaskConfig, Multiblock2D, Multiblock3D
from worldmodel_train.protocols import LatentRenderer

if TYPE_CHECKING:
    from worldmodel_train.data.fixed import FixedClips

PICTURES = "evaluation/decoded_prediction"
"""Folder of the pictures, below the run directory."""


class Config(StrictConfig):
    """PSNR of decoded latents and decoded predictions, as strips and moving pictures too."""

    needs: ClassVar[type] = LatentRenderer
    needs_held_out: ClassVar[bool] = True

    max_clips: int = Field(default=64, ge=1)
    """Held-out clips that are measured, the first ones in the order of the shards."""
    clips_per_video: int = Field(default=8, ge=1)
    """Start times taken from each video, held out or trained on, spread over its length."""
    train_clips: int = Field(default=256, ge=1)
    """Clips of the first source, on which mean picture and linear decoder are fitted."""
    visible: float = Field(default=0.5, gt=0, lt=1)
    """Share of a clip's tubelets that are seen, the first ones, where the later are predicted."""
    masks: tuple[MaskConfig, ...] = ()
    """Masks to predict under as well, best those that the JEPA was trained with, in their order."""
    mask_seed: int = Field(default=0, ge=0)
    """Of these masks."""
    batch_size: int = Field(default=16, ge=1)
    """Clips per forward pass."""
    picture_clips: int = Field(default=3, ge=1, le=16)
    """Clips that are shown."""

    @model_validator(mode="after")
    def _nothing_is_padded(self) -> "Config":
        for place, sampler in enumerate(self.masks):
            if isinstance(sampler, Multiblock2D | Multiblock3D) and sampler.truncate == "none":
                raise ValueError(
                    f"masks.{place}.truncate=none pads sets of tokens, and padding has no pixels; "
                    "use truncate: random"
                )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """A first source that cannot be read in order."""
        assert isinstance(offer.data, DataConfig), "what it needs takes clips"
        first = offer.data.sources[0]
        if first.streams:
            yield (
                f"fits its baselines on clips of the first source, and {first.name} is a stream; "
                "put one with shards on a file system first, or leave it out"
            )

    def run(self, subject: Subject) -> TaskResult:
        """PSNRs of each kind of token, and the pictures."""
        from worldmodel_train.evaluation.decoding.decoded_pictures import DecodedAlbum
        from worldmodel_train.evaluation.decoding.decoded_result import decoded_result
        from worldmodel_train.evaluation.decoding.decoded_scores import Contest
        from worldmodel_train.evaluation.decoding.pixel_rivals import PixelRivals
        from worldmodel_train.evaluation.decoding.questions import questions
        from worldmodel_train.evaluation.frozen import device_of
        from worldmodel_train.evaluation.pictures import Album

        trained, untrained, data = subject.trained, subject.untrained, subject.data
        assert isinstance(trained, LatentRenderer), "the recipe was checked"
        assert isinstance(untrained, LatentRenderer), "they are of one class"
        assert isinstance(data, DataConfig), "the recipe was checked"
        assert data.held_out is not None, "the recipe was checked"
        held_out = subject.held_out_clips(
            limit=self.max_clips, clips_per_video=self.clips_per_video
        )
        rivals = PixelRivals.fitted(trained, self._train_clips(data), self.batch_size)
        contest = Contest(
            trained=trained, untrained=untrained, rivals=rivals, batch_size=self.batch_size
        )
        grid = trained.latent_model(device_of(trained)).token_grid(held_out.clips[:1])
        asked = list(
            questions(grid, visible=self.visible, samplers=self.masks, seed=self.mask_seed)
        )
        scores = [contest.whole(held_out), *(contest.predicted(held_out, one) for one in asked)]
        album = DecodedAlbum(
            album=Album(
                held_out=held_out,
                run_dir=subject.run_dir,
                folder=PICTURES,
                shown=self.picture_clips,
                batch_size=self.batch_size,
            ),
            renderer=trained,
            fps=data.held_out.clip.fps,
        )
        result = decoded_result(scores, held_out.keys, fitted_on=rivals.num_clips)
        galleries = tuple(gallery for one in asked for gallery in album.galleries(one))
        return result.model_copy(update={"galleries": galleries})

    def _train_clips(self, data: DataConfig) -> "FixedClips":
        return data.clips_of(
            data.sources[0], limit=self.train_clips, clips_per_video=self.clips_per_video
        )
