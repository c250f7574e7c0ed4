"""I-JEPA: predict the latents of hidden blocks of an image (arXiv 2301.08243).

It is V-JEPA on one-frame clips, with several target sets for each context, positions in the
plane, and a Huber loss.
"""

from pydantic import field_validator

from worldmodel_train.jepa import vjepa
from worldmodel_train.losses import LossConfig, SmoothL1
from worldmodel_train.masks import Multiblock2D
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.vit import EncoderConfig


class Config(vjepa.Config):
    """I-JEPA; released with residual_init plain and predictor.mask_token_std 0.02."""

    loss: LossConfig = SmoothL1()

    @field_validator("encoder")
    @classmethod
    def _images_have_one_frame(cls, encoder: EncoderConfig) -> EncoderConfig:
        if encoder.tubelet != 1:
            raise ValueError(f"tubelet={encoder.tubelet}, but I-JEPA sees images; use tubelet: 1")
        return encoder

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=2, heads=3)
        return cls(
            encoder=EncoderConfig(size=size, patch=8, tubelet=1, position=SinCos2d()),
            predictor=PredictorConfig(
                width=32, depth=2, heads=2, mask_tokens=1, mask_token_std=0.02
            ),
            masks=(Multiblock2D(),),
        )
