"""MoCo v3: a slow copy's view is found among all clips' (arXiv 2104.02057).

No JEPA: no hidden part is predicted. It is here to be compared with them.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.facts import DataFacts, RecipeFacts
from worldmodel_train.jepa.joint_embedding import (
    BatchNormedConfig,
    SeesClips,
    mean_latent,
    tiny_encoder,
)
from worldmodel_train.jepa.view_cost import learned, seen, view_tokens
from worldmodel_train.losses.cosine import cosine_distance
from worldmodel_train.losses.info_nce import info_nce
from worldmodel_train.models.batch_norm import BatchNorm
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import encoder_parameters
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.projection_head import head_forward, head_parameters, projection_head
from worldmodel_train.models.vit import VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses


class Config(BatchNormedConfig):
    """The defaults are those published for vision transformers, but for `views`."""

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

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, without the loss."""
        encoder = self.encoder
        widths = (encoder.blocks.width, *self.projector_widths)
        further = (widths[-1], self.predictor_width, widths[-1])
        tokens = [view_tokens(view, encoder, facts) for view in self.views]
        head = head_forward(widths)
        student = learned(
            encoder, tokens, head.plus(head_forward(further)), learns_pixels=self.train_patches
        )
        parameters = {"encoder": encoder_parameters(encoder), "projector": head_parameters(widths)}
        copies = {f"slow {name}": count for name, count in parameters.items()}
        return PlainCost(
            parameters={**parameters, "predictor": head_parameters(further), **copies},
            flops={
                "views, forward + backward": student,
                "views of the copy, forward": seen(encoder, tokens, head),
            },
        )

    def build(self, data: DataFacts | None = None) -> "MoCoV3":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return MoCoV3(self)


class MoCoV3(SeesClips):
    """An encoder with head and predictor, and slow copies of the first two."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        widths = (config.encoder.blocks.width, *config.projector_widths)
        self.projector = normed_head(widths)
        self.predictor = normed_head((widths[-1], config.predictor_width, widths[-1]))
        if not config.train_patches:
            self.encoder.patch_embed.requires_grad_(requires_grad=False)
        self.slow_encoder = copy.deepcopy(self.encoder).requires_grad_(requires_grad=False)
        self.slow_projector = copy.deepcopy(self.projector).requires_grad_(requires_grad=False)

    def training_losses(self, content: Clips) -> Losses:
        """What either view of the student says of the copy's other one, times 2 temperature.

        Negatives are the copy's views of the other clips of all ranks.
        """
        views = [view.draw(content.pixels).pixels for view in self.config.views]
        with torch.no_grad():
            keys = [
                self.slow_projector(mean_latent(self.slow_encoder, view)).float() for view in views
            ]
        queries = [self._said(mean_latent(self.encoder, view)) for view in views]
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
        seen = self.halves(context, target, context_encoder=self.encoder)
        return cosine_distance(self._said(seen.context), self.slow_projector(seen.target))

    def seeing(self) -> VisionTransformer:
        """The slow copy's encoder."""
        return self.slow_encoder

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The copies follow; measured in evaluation mode they norm by the student's statistics."""
        return [
            EmaPair(student=self.encoder, teacher=self.slow_encoder),
            EmaPair(student=self.projector, teacher=self.slow_projector),
        ]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder, head and predictor, each with and without weight decay."""
        return parameter_groups(
            encoder=self.encoder, projector=self.projector, predictor=self.predictor
        )

    def _said(self, latents: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        return self.predictor(self.projector(latents).float()).float()


def normed_head(widths: Sequence[int]) -> nn.Sequential:
    """Linear maps with batch norms between them, and one more, without weights, at the end."""
    return nn.Sequential(projection_head(widths), BatchNorm(widths[-1], affine=False))
