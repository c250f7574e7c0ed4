"""VICReg: views agree, and variance and covariance keep clips apart (arXiv 2105.04906).

No JEPA: nothing is predicted. It is here to be compared with them.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from worldmodel_train.facts import DataFacts, RecipeFacts
from worldmodel_train.jepa.joint_embedding import (
    BatchNormedConfig,
    EncoderWithHead,
    mean_latent,
    tiny_encoder,
)
from worldmodel_train.jepa.view_cost import head_cost
from worldmodel_train.losses.vicreg import covariance_loss, variance_loss
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.types import Clips, Losses


class Config(BatchNormedConfig):
    """The defaults are the published ones, but for `views`."""

    projector_widths: tuple[int, ...] = Field(default=(8192, 8192, 8192), min_length=1)
    """Channels of the head, layer by layer; the last is what views are compared by."""
    invariance: float = Field(default=25.0, ge=0)
    """Weight of the squared distance of views."""
    variance: float = Field(default=25.0, ge=0)
    """Weight of what the spread of a channel lacks to 1."""
    covariance: float = Field(default=1.0, ge=0)
    """Weight of the sum of squared covariances over the number of channels, of both views."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(encoder=tiny_encoder(), projector_widths=(64, 16))

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, without the loss."""
        return head_cost(self.encoder, self.projector_widths, self.views, facts)

    def build(self, data: DataFacts | None = None) -> "VicReg":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return VicReg(self)


class VicReg(EncoderWithHead):
    """An encoder and a head, for both views the same."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.encoder, config.projector_widths)
        self.config = config

    def training_losses(self, content: Clips) -> Losses:
        """The three terms, weighted; variances and covariances are those over all ranks."""
        views = [view.draw(content.pixels).pixels for view in self.config.views]
        both = torch.stack([self._embedding(mean_latent(self.encoder, view)) for view in views])
        channels = both.shape[-1]
        terms = {
            "invariance": functional.mse_loss(both[0], both[1]),
            "variance": variance_loss(both),
            # published as a sum over pairs of channels, of either view, over the channels
            "covariance": 2 * (channels - 1) * covariance_loss(both),
        }
        config = self.config
        return Losses(
            total=config.invariance * terms["invariance"]
            + config.variance * terms["variance"]
            + config.covariance * terms["covariance"],
            terms={name: term.detach() for name, term in terms.items()},
            latents={"target": both.flatten(0, 1).detach()},
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The squared distance of both halves."""
        seen = self.halves(context, target, context_encoder=self.encoder)
        one, other = (self._embedding(half) for half in seen)
        return (one - other).square().mean(dim=1)

    def _embedding(self, latents: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        return self.projector(latents).float()
