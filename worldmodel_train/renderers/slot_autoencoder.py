"""Films through slots, and back to pixels: nobody says what a thing is, and slots come to hold one.

SAVi without hints (Kipf et al. 2022, arXiv 2111.12594): what each slot paints is put together, and
the film is what is asked for. `part: encoder` of such a run sees slots for others, frozen.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from torch import Tensor, nn

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.slot_decoder import SlotDecoder, slot_decoder_step
from worldmodel_train.models.slot_encoder import SlotEncoderConfig, slot_flops
from worldmodel_train.models.token_fit import one_length
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses, TokenGrid

_PICTURED = 4  # clips


class Config(StrictConfig):
    """The encoder, and how it is made to learn."""

    encoder: SlotEncoderConfig = SlotEncoderConfig()
    """Films to slots."""
    decoder_width: int = Field(default=64, gt=0)
    """Hidden channels of what paints a pixel."""
    pixels: int = Field(default=256, gt=0)
    """Of each frame that a step paints, the same in all frames; at most all."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        encoder = SlotEncoderConfig(slots=3, width=32, channels=(16,), heads=2)
        return cls(encoder=encoder, decoder_width=32)

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips of several lengths."""
        yield from one_length(facts.data)

    def preparation(self) -> None:
        """Clips are taken as they are read."""

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip."""
        clip, encoder = facts.data.sources[0].clip, self.encoder
        painted = slot_decoder_step(
            encoder.width,
            self.decoder_width,
            slots=encoder.slots,
            pixels=min(self.pixels, clip.height * clip.width),
        )
        return PlainCost(
            parameters=built_parameters(self.build),
            flops={
                "slots, forward + backward": slot_flops(encoder, *clip).step,
                "painted, forward + backward": painted.times(clip.frames),
            },
        )

    def build(self, data: DataFacts | None = None) -> "SlotAutoencoder":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return SlotAutoencoder(self)


class SlotAutoencoder(nn.Module):
    """An encoder of slots and a decoder of each by itself; an `Encoder`, whose tokens are slots."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        self.decoder = SlotDecoder(config.encoder.width, config.decoder_width)

    def training_losses(self, content: Clips) -> Losses:
        """The squared error of pixels from 0 to 1, some of each frame."""
        clips = content.pixels
        slots, centres = (part.flatten(0, 1) for part in self.encoder(clips))
        height, width = clips.shape[2:4]
        drawn = torch.randperm(height * width)[: self.config.pixels]
        pixels = drawn.to(clips.device, non_blocking=True)
        colours, shares = self.decoder(slots, centres, pixels, (height, width))
        true = rearrange(clips, "b t h w c -> (b t) (h w) c")[:, pixels].float() / 255
        loss = (_blended(colours, shares) - true).square().mean()
        return Losses(
            total=loss,
            terms={"painted": loss.detach()},
            latents={"target": slots.detach().flatten(0, 1)},
        )

    @torch.no_grad()
    def segments(self, clips: UInt8[Tensor, "b t h w c"]) -> Int[Tensor, "b t h w"]:
        """The number of the slot that has the most of each pixel."""
        _, shares = self._painted(clips)
        height, width = clips.shape[2:4]
        return rearrange(
            shares.argmax(dim=1), "(b t) (h w) -> b t h w", b=len(clips), h=height, w=width
        )

    @torch.no_grad()
    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """The slots of all frames."""
        return self.encoder(clips)[0].flatten(1, 2)

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """Frames by slots, which lie nowhere."""
        return TokenGrid(clips.shape[1], self.config.encoder.slots, 1)

    @torch.no_grad()
    def pictures(self, content: Clips) -> Mapping[str, UInt8[Tensor, "h w c"]]:
        """First frames above what is painted, and above what each slot has of it, on white."""
        clips = content.pixels[:_PICTURED, :1]
        colours, shares = self._painted(clips)
        share = shares[..., None]
        rows = [_blended(colours, shares), *(colours * share + 1 - share).unbind(dim=1)]
        height, width = clips.shape[2:4]
        painted = torch.stack(rows).clamp(0, 1).mul(255).round().byte()
        frames = rearrange(clips[:, 0], "b h w c -> 1 b h w c")
        painted = rearrange(painted, "r b (h w) c -> r b h w c", h=height, w=width)
        return {"slots": rearrange(torch.cat((frames, painted)), "r b h w c -> (r h) (b w) c")}

    def ema_pairs(self) -> Sequence[EmaPair]:
        """Nothing follows."""
        return ()

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and decoder, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, decoder=self.decoder)

    def _painted(
        self, clips: UInt8[Tensor, "b t h w c"]
    ) -> tuple[Float[Tensor, "i s p 3"], Float[Tensor, "i s p"]]:
        """Colours and shares of all pixels of all frames."""
        height, width = clips.shape[2:4]
        pixels = torch.arange(height * width, device=clips.device)
        slots, centres = (part.flatten(0, 1) for part in self.encoder(clips))
        return self.decoder(slots, centres, pixels, (height, width))


def _blended(
    colours: Float[Tensor, "i s p 3"], shares: Float[Tensor, "i s p"]
) -> Float[Tensor, "i p 3"]:
    """What all slots paint together."""
    return (colours * shares[..., None]).sum(dim=1)
