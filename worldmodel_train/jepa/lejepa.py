"""LeJEPA on clips: views of a clip agree, and SIGReg keeps them apart (arXiv 2511.08544).

There is neither a teacher nor a stopped gradient. A view is a random part of the clip's tokens in
other colours and another light, so what views have in common is what is where and how it moves.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.appearance import AppearanceJitter
from worldmodel_train.losses.sigreg import SigReg
from worldmodel_train.masks.past_and_future import halves
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import encoder_forward, encoder_parameters
from worldmodel_train.models.frame_encoder import projector
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.token_fit import encoder_misfits, grid_of, one_length
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses, TokenGrid


class Config(StrictConfig):
    """What views are, and what is asked of their embeddings.

    The paper's views are crops; hidden tokens take their place here, as they leave things where
    they are and cost less the more is hidden.
    """

    encoder: EncoderConfig
    views: int = Field(default=2, ge=2)
    """Of each clip; each is drawn towards the mean of all."""
    kept: float = Field(default=0.25, gt=0, le=1)
    """Share of a clip's tokens that a view has, spread at random over space and time."""
    appearance: AppearanceJitter = AppearanceJitter()
    embedding_width: int = Field(default=64, gt=0)
    """Numbers that a view is mapped to, which the loss compares."""
    projector_width: int = Field(default=512, gt=0)
    """Hidden channels of that map; probes read the encoder's latents before it."""
    sigreg: SigReg = SigReg()
    sigreg_weight: float = Field(default=0.05, gt=0, lt=1)
    """Of SIGReg, which grows with the micro-batches of all ranks; agreement has the rest."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=2, heads=3)
        return cls(
            encoder=EncoderConfig(size=size, patch=8, tubelet=2),
            kept=0.5,
            embedding_width=16,
            projector_width=64,
            sigreg=SigReg(directions=64),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens, or of several lengths."""
        yield from encoder_misfits(self.encoder, facts.data)
        yield from one_length(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read; views are drawn where the loss is computed."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip; what memory a step takes is not said."""
        kept = self.num_kept(grid_of(self.encoder, facts.data.sources[0].clip))
        maps = self.encoder.blocks.width + self.embedding_width
        forward = encoder_forward(self.encoder, kept).times(self.views)
        return PlainCost(
            parameters={
                "encoder": encoder_parameters(self.encoder),
                "projector": self.projector_width * (maps + 3) + self.embedding_width,
            },
            flops={"views, forward + backward": forward.with_backward()},
        )

    def num_kept(self, grid: TokenGrid) -> int:
        """Tokens of a view."""
        return max(1, round(self.kept * grid.num_tokens))

    def build(self, data: DataFacts | None = None) -> "LeJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return LeJepa(self)


class LeJepa(nn.Module):
    """An encoder of clips, and a map of its mean latent to the embedding that is trained."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        width = config.encoder.blocks.width
        self.projector = projector(width, config.projector_width, config.embedding_width)

    def training_losses(self, content: Clips) -> Losses:
        """How far views of a clip are apart, and all views from a Gaussian; drawn anew each time.

        Views come from torch's global generator.
        """
        embeddings = torch.stack([self._view(content.pixels) for _ in range(self.config.views)])
        center = embeddings.mean(dim=0)
        agreement = (embeddings - center).square().mean()
        sigreg = self.config.sigreg.loss(embeddings)
        weight = self.config.sigreg_weight
        return Losses(
            total=(1 - weight) * agreement + weight * sigreg,
            terms={"agreement": agreement.detach(), "sigreg": sigreg.detach()},
            latents={"target": center.detach()},
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The squared distance of the embeddings of both halves, each seen without the other."""
        masks = halves(self.token_grid(context.pixels), len(context.pixels))
        seen = self._embedding(context.pixels, masks.context_index)
        other = self._embedding(target.pixels, masks.target_index[:, 0])
        return (seen - other).square().mean(dim=1)

    def _view(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b e"]:
        """The embedding of one view of each clip."""
        index = random_tokens(len(clips), self.token_grid(clips), self.config)
        return self._embedding(self.config.appearance.draw(clips), index)

    def _embedding(
        self, clips: UInt8[Tensor, "b t h w c"], index: Int[Tensor, "b k"]
    ) -> Float[Tensor, "b e"]:
        """Of these tokens of each clip, in fp32."""
        (latents,) = self.encoder(clips, [TokenSet(index.to(clips.device))])
        return self.projector(latents.mean(dim=1)).float()

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """What the encoder sees in whole clips as they are, before the projector."""
        (latents,) = self.encoder(clips)
        return latents.float()

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that clips of this size become."""
        return self.encoder.token_grid(clips)

    def ema_pairs(self) -> Sequence[EmaPair]:
        """No copy follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and projector, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, projector=self.projector)


def random_tokens(clips: int, grid: TokenGrid, config: Config) -> Int[Tensor, "b k"]:
    """For each clip the tokens of one view, in order of their ids."""
    order = torch.rand(clips, grid.num_tokens).argsort(dim=1)
    return order[:, : config.num_kept(grid)].sort(dim=1).values
