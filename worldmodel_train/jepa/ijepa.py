"""I-JEPA: predict the latents of hidden blocks of an image (arXiv 2301.08243).

It is V-JEPA on one-frame clips, with several target sets for each context, positions in the
plane, and a Huber loss.
"""

from typing import Literal

from pydantic import field_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.jepa.vjepa import VJepa
from worldmodel_train.losses import LossConfig, SmoothL1
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.vit import EncoderConfig


class Config(StrictConfig):
    """I-JEPA; its paper's predictor is 12 blocks of width 384, its mask tokens start at 0.02."""

    encoder: EncoderConfig
    predictor: PredictorConfig
    loss: LossConfig = SmoothL1()
    residual_init: Literal["rescaled", "plain"] = "rescaled"
    """`plain` draws all weights alike. The released code does so, by initialising once more after
    it has rescaled what the blocks add to the stream."""

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
        )

    def build(self) -> VJepa:
        """A freshly initialised objective, drawn from torch's global generator."""
        encoder = self.encoder.build()
        predictor = self.predictor.build(self.encoder)
        if self.residual_init == "plain":
            encoder.apply(init_linear)
            predictor.apply(init_linear)
        return VJepa(encoder, predictor, self.loss)
