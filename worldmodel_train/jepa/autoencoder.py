"""A plain autoencoder of clips: every token through a few numbers, and back to pixels.

Nothing is hidden and nothing predicted: what compression alone teaches, to compare JEPAs with.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.joint_embedding import SeesClips, tiny_encoder
from worldmodel_train.models.blocks import Blocks, BlocksConfig, init_linear, rescale_residuals
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import (
    blocks_forward,
    blocks_parameters,
    encoder_parameters,
    encoder_step,
    once_each,
    token_pixels,
    total,
)
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.position import Places
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.token_fit import encoder_misfits, grid_of, one_length
from worldmodel_train.models.tubelet_pixels import cut_tubelets
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses, TokenGrid

_LEAST_VARIANCE = 1e-6  # where all is of one colour


class Config(StrictConfig):
    """The encoder, how little is kept of a token, and the decoder."""

    encoder: EncoderConfig
    bottleneck: int = Field(default=8, gt=0)
    """Numbers that are kept of a token."""
    decoder: BlocksConfig
    """A transformer from these to the pixels of all tokens."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        return cls(encoder=tiny_encoder(), decoder=BlocksConfig(width=32, depth=1, heads=2))

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens, or of several lengths."""
        yield from encoder_misfits(self.encoder, facts.data)
        yield from one_length(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip."""
        encoder, decoder = self.encoder, self.decoder
        tokens = grid_of(encoder, facts.data.sources[0].clip).num_tokens
        ends = (
            (encoder.blocks.width, self.bottleneck, decoder.width),
            (
                decoder.width,
                token_pixels(encoder),
            ),
        )
        maps = total(head_forward(widths) for widths in ends).times(tokens)
        painted = blocks_forward(decoder, tokens).plus(maps)
        linear = sum(a * b + b for widths in ends for a, b in pairwise(widths))
        norm = 2 * decoder.width
        return PlainCost(
            parameters={
                "encoder": encoder_parameters(encoder),
                "decoder": blocks_parameters(decoder) + linear + norm,
            },
            flops={
                "seen, forward + backward": encoder_step(encoder, tokens),
                "painted, forward + backward": once_each(painted),
            },
        )

    def build(self, data: DataFacts | None = None) -> "Autoencoder":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return Autoencoder(self)


class Autoencoder(SeesClips):
    """An encoder, a narrow place, and a decoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        encoder, decoder = config.encoder, config.decoder
        self.config = config
        self.encoder = encoder.build()
        self.places = Places(encoder.position, decoder.head_width)
        self.narrow = Linear(encoder.blocks.width, config.bottleneck)
        self.wide = Linear(config.bottleneck, decoder.width)
        self.decoder = Blocks(decoder)
        self.norm = LastNorm(decoder.width, eps=1e-6)
        self.pixels = Linear(decoder.width, token_pixels(encoder))
        for part in (self.narrow, self.wide, self.decoder, self.pixels):
            part.apply(init_linear)
        rescale_residuals(self.decoder)

    def training_losses(self, content: Clips) -> Losses:
        """The squared error of all pixels, from 0 to 1, over their variance in the batch.

        1 is as good as to say the mean colour of all.
        """
        true = cut_tubelets(content.pixels, self.config.encoder)
        kept = self._kept(content.pixels)
        painted = self._painted(kept, self.token_grid(content.pixels))
        loss = (painted - true).square().mean() / true.var().clamp(min=_LEAST_VARIANCE)
        return Losses(
            total=loss,
            terms={"painted": loss.detach()},
            latents={"target": kept.mean(dim=1).detach().float()},
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The squared error of a clip that is the context's first half and the target's second."""
        pixels = context.pixels.clone()
        frames, height = pixels.shape[1:3]
        tubelet, patch = self.config.encoder.tubelet, self.config.encoder.patch
        if frames > tubelet:
            first = frames // tubelet // 2 * tubelet
            pixels[:, first:] = target.pixels[:, first:]
        else:
            first = height // patch // 2 * patch
            pixels[:, :, first:] = target.pixels[:, :, first:]
        painted = self._painted(self._kept(pixels), self.token_grid(pixels))
        true = cut_tubelets(pixels, self.config.encoder)
        return (painted - true).square().flatten(1).mean(dim=1)

    def seeing(self) -> VisionTransformer:
        """The encoder."""
        return self.encoder

    def ema_pairs(self) -> Sequence[EmaPair]:
        """No copy follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder, the maps in and out of the narrow place, and decoder."""
        return parameter_groups(
            encoder=self.encoder,
            narrow=self.narrow,
            wide=self.wide,
            decoder=self.decoder,
            norm=self.norm,
            pixels=self.pixels,
        )

    def _kept(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n k"]:
        """What is left of each token."""
        (latents,) = self.encoder(clips)
        return self.narrow(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])

    def _painted(self, kept: Float[Tensor, "b n k"], grid: TokenGrid) -> Float[Tensor, "b n p"]:
        """The pixels of all tokens, in fp32."""
        index = torch.arange(grid.num_tokens, device=kept.device)[None]
        wide = self.wide(kept.flatten(0, 1)).unflatten(0, kept.shape[:2])
        tokens = self.places.add(wide, index, grid).flatten(0, 1)
        group = self.places.group(index, None, grid, len(kept), one_length=True)
        painted = self.pixels(self.norm(self.decoder(tokens, [group])))
        return painted.float().unflatten(0, kept.shape[:2])
