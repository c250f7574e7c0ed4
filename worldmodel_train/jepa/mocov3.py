"""MoCo v3: a slow copy's view is found among all clips' (arXiv 2104.02057).

No JEPA: no hidden part is predicted. It is here to be compared with them.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.facts import DataFacts
from worldmodel_train.jepa.joint_embedding import (
    JointEmbeddingConfig,
    SeesClips,
    mean_latent,
    tiny_encoder,
)
from worldmodel_train.losses.cosine import cosine_distance
from worldmodel_train.losses.info_nce import info_nce
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import projection_head
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses


class Config(JointEmbeddingConfig):
    """The defaults are those published for vision transformers."""

    projector_widths: tuple[int, ...] = Field(default=(4096, 4096, 256), min_length=1)
    """Channels of the head, layer by layer; the last is what views are compared by."""
    predictor_width: int = Field(default=4096, gt=0)
    """Hidden channels of the map that the student has beyond the slow copy."""
    temperature: float = Field(default=0.2, gt=0)
    """By which cosines are divided."""
    train_patches: bool = False
    """Whether the map from pixels to tokens learns. It stays as drawn in the paper, as its gradient
    is what makes training unstable."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(
            encoder=tiny_encoder(), projector_widths=(64, 16), predictor_width=32, temperature=1.0
        )

    def build(self, data: DataFacts | None = None) -> "MoCoV3":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return MoCoV3(self)


class Embeds(nn.Module):
    """An encoder and its head."""

    def __init__(self, encoder: EncoderConfig, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder.build()
        self.projector = nn.Sequential(
            projection_head((encoder.blocks.width, *widths)),
            nn.BatchNorm1d(widths[-1], affine=False),
        )

    def forward(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b e"]:
        """The embedding of whole clips, in fp32."""
        return self.projector(mean_latent(self.encoder, clips)).float()


class MoCoV3(SeesClips):
    """A student with a predictor, and a slow copy of it without."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.student = Embeds(config.encoder, config.projector_widths)
        embedding = config.projector_widths[-1]
        self.predictor = nn.Sequential(
            projection_head((embedding, config.predictor_width, embedding)),
            nn.BatchNorm1d(embedding, affine=False),
        )
        if not config.train_patches:
            self.student.encoder.patch_embed.requires_grad_(requires_grad=False)
        self.teacher = copy.deepcopy(self.student).requires_grad_(requires_grad=False)

    def training_losses(self, content: Clips) -> Losses:
        """What either view of the student says of the copy's other one, times 2 temperature.

        Negatives are the copy's views of the other clips of all ranks.
        """
        views = [view.draw(content.pixels).pixels for view in self.config.views]
        with torch.no_grad():
            keys = [self.teacher(view) for view in views]
        queries = [self.predictor(self.student(view)).float() for view in views]
        temperature = self.config.temperature
        contrasts = [
            info_nce(query, key, temperature=temperature)
            for query, key in zip(queries, reversed(keys), strict=True)
        ]
        return Losses(
            total=2 * temperature * torch.stack(contrasts).sum(),
            terms={"contrast": torch.stack(contrasts).mean().detach()},
            latents={"predicted": torch.cat(queries).detach(), "target": torch.cat(keys[::-1])},
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The cosine distance of the target's half by the copy, from what the student says."""
        seen = self.halves(context, target, context_encoder=self.student.encoder)
        predicted = self.predictor(self.student.projector(seen.context).float())
        return cosine_distance(predicted, self.teacher.projector(seen.target))

    def seeing(self) -> VisionTransformer:
        """The slow copy's encoder."""
        return self.teacher.encoder

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The copy follows; its batch norms have statistics of their own."""
        return [EmaPair(student=self.student, teacher=self.teacher)]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Student and predictor, each with and without weight decay."""
        return parameter_groups(student=self.student, predictor=self.predictor)
