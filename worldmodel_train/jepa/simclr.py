"""SimCLR: each view is told from all others but its partner (arXiv 2002.05709).

No JEPA: nothing is predicted. It is here to be compared with them.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worldmodel_train.facts import DataFacts, RecipeFacts
from worldmodel_train.jepa.joint_embedding import (
    BatchNormedConfig,
    EncoderWithHead,
    mean_latent,
    tiny_encoder,
)
from worldmodel_train.jepa.view_cost import head_cost
from worldmodel_train.losses.cosine import cosine_distance
from worldmodel_train.losses.info_nce import nt_xent
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.types import Clips, Losses


class Config(BatchNormedConfig):
    """The defaults are those published for ImageNet, but for `views`."""

    projector_widths: tuple[int, ...] = Field(default=(2048, 128), min_length=1)
    """Channels of the head, layer by layer; the last is what views are compared by."""
    temperature: float = Field(default=0.1, gt=0)
    """By which cosines are divided."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(encoder=tiny_encoder(), projector_widths=(64, 16), temperature=0.5)

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, without the loss."""
        return head_cost(self.encoder, self.projector_widths, self.views, facts)

    def build(self, data: DataFacts | None = None) -> "SimClr":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return SimClr(self)


class SimClr(EncoderWithHead):
    """An encoder and a head, for both views the same."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.encoder, config.projector_widths)
        self.config = config

    def training_losses(self, content: Clips) -> Losses:
        """NT-Xent of two views of each clip; negatives are the views of all ranks."""
        views = [view.draw(content.pixels).pixels for view in self.config.views]
        one, other = (self.projector(mean_latent(self.encoder, view)).float() for view in views)
        loss = nt_xent(one, other, temperature=self.config.temperature)
        alike = 1 - cosine_distance(one, other).mean()
        return Losses(
            total=loss,
            terms={"contrast": loss.detach(), "cosine": alike.detach()},
            latents={"target": torch.cat((one, other)).detach()},
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The cosine distance of both halves."""
        seen = self.halves(context, target, context_encoder=self.encoder)
        return cosine_distance(self.projector(seen.context), self.projector(seen.target))
