"""MAE and VideoMAE: paint what is hidden (arXiv 2111.06377, 2203.12602).

The methods that JEPAs replace, to be compared with them: the same encoder sees the same tokens, but
what is predicted of the others is their pixels. MAE is for images, VideoMAE hides tubes of clips.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.drawn_masks import ClipLength, clip_lengths, mean_flops, token_table
from worldmodel_train.jepa.half_seen import half_seen
from worldmodel_train.jepa.joint_embedding import SeesClips
from worldmodel_train.jepa.mask_misfits import masked_misfits
from worldmodel_train.losses.token_mean import token_mean
from worldmodel_train.masks import MaskConfig
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.masks.random_tokens import RandomTokens
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.cost import PlainCost
from worldmodel_train.models.flops import (
    Flops,
    MaskTokens,
    encoder_parameters,
    encoder_step,
    once_each,
    predictor_forward,
    predictor_parameters,
    token_pixels,
    total,
)
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.linear import Linear
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.token_fit import grid_of
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.tubelet_embed import CHANNELS
from worldmodel_train.models.tubelet_pixels import cut_tubelets
from worldmodel_train.models.vit import EncoderConfig, VisionTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Clips, Losses, MaskedClips, Masks, TokenGrid

_EPS = 1e-6
"""Added to a variance (of a patch) or a deviation (of channels) that may be 0, as released."""


class Config(StrictConfig):
    """The encoder and the decoder, which is a predictor of pixels."""

    encoder: EncoderConfig
    decoder: PredictorConfig
    """It sees the latents of what the encoder saw, and a mask token in each hidden place."""
    masks: tuple[MaskConfig, ...] = (RandomTokens(),)
    """Mask groups; every clip is masked once by each."""
    normalised: Literal["patch", "channel", "none"] = "patch"
    """By what a token's pixels have mean 0 and spread 1 before they are compared: all of them
    together, as in MAE, or each colour by itself, as in VideoMAE."""

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=2, heads=3)
        return cls(
            encoder=EncoderConfig(size=size, patch=8, tubelet=2),
            decoder=PredictorConfig(width=32, depth=1, heads=2, mask_token_std=0.02),
            masks=(RandomTokens(hidden=0.5),),
        )

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Clips that are no whole tokens, and masks that do not suit them."""
        yield from masked_misfits(self.encoder, self.masks, facts)

    def preparation(self) -> MaskPreparation:
        """Masks are drawn where clips are read."""
        encoder = self.encoder
        return MaskPreparation(samplers=self.masks, tubelet=encoder.tubelet, patch=encoder.patch)

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a clip, with masks as they will be drawn."""
        encoder, decoder = self.encoder, self.decoder
        lengths = clip_lengths(lambda clip: (grid_of(encoder, clip), self.masks), facts)
        # the decoder gives pixels where a predictor gives latents
        wider = token_pixels(encoder) - encoder.blocks.width

        def seen(_: ClipLength, masks: Sequence[MaskTokens]) -> Flops:
            return total(encoder_step(encoder, mask.context) for mask in masks)

        def painted(_: ClipLength, masks: Sequence[MaskTokens]) -> Flops:
            return once_each(
                total(predictor_forward(decoder, encoder, mask, wider=wider) for mask in masks)
            )

        return PlainCost(
            parameters={
                "encoder": encoder_parameters(encoder),
                "decoder": predictor_parameters(decoder, encoder) + wider * (decoder.width + 1),
            },
            flops={
                "seen, forward + backward": mean_flops(lengths, seen),
                "painted, forward + backward": mean_flops(lengths, painted),
            },
            tables=[token_table(lengths)],
        )

    def build(self, data: DataFacts | None = None) -> "Mae":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        return Mae(self)


class Mae(SeesClips):
    """An encoder of what is seen, and a decoder that paints the rest."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = config.encoder.build()
        self.decoder = config.decoder.build(config.encoder)
        self.decoder.proj = Linear(config.decoder.width, token_pixels(config.encoder))
        init_linear(self.decoder.proj)

    def training_losses(self, content: MaskedClips) -> Losses:
        """The squared error of the pixels of hidden tokens, every mask group weighing the same."""
        errors = list[Tensor]()
        seen = list[Tensor]()
        for group in content.groups:
            contexts = self.encoder(group.clips, [_seen(masks) for masks in group.masks])
            painted = self._painted(contexts, group.masks, self.token_grid(group.clips))
            for masks, pixels in zip(group.masks, painted, strict=True):
                hidden = self._errors(pixels, group.clips, masks)
                errors.append(token_mean(hidden[..., None], masks.target_valid))
            seen += [context.detach().float().mean(dim=1) for context in contexts]
        loss = torch.stack(errors).mean()
        return Losses(
            total=loss, terms={"painted": loss.detach()}, latents={"target": torch.cat(seen)}
        )

    def energy(self, context: Clips, target: Clips) -> Float[Tensor, "b"]:
        """The squared error of the target's half as painted from the context's."""
        grid = self.token_grid(context.pixels)
        (masks,) = half_seen(context, grid).masks
        (painted,) = self._painted(self.encoder(context.pixels, [_seen(masks)]), [masks], grid)
        return self._errors(painted, target.pixels, masks).flatten(1).mean(dim=1)

    def seeing(self) -> VisionTransformer:
        """The encoder."""
        return self.encoder

    def ema_pairs(self) -> Sequence[EmaPair]:
        """No copy follows."""
        return []

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and decoder, each with and without weight decay."""
        return parameter_groups(encoder=self.encoder, decoder=self.decoder)

    def _painted(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], masks: Sequence[Masks], grid: TokenGrid
    ) -> list[Float[Tensor, "b _ _ p"]]:
        """Pixels of the hidden tokens of each mask group; all share mask token 0."""
        return self.decoder(contexts, masks, grid, [0] * len(masks))

    def _errors(
        self,
        painted: Float[Tensor, "b g m p"],
        clips: UInt8[Tensor, "b t h w c"],
        masks: Masks,
    ) -> Float[Tensor, "b g m"]:
        """The mean squared error of each hidden token, in fp32."""
        index = masks.target_index
        hidden = gather_tokens(cut_tubelets(clips, self.config.encoder), index.flatten(1))
        true = self._normalised(hidden).unflatten(1, index.shape[1:])
        return (painted.float() - true).square().mean(dim=-1)

    def _normalised(self, pixels: Float[Tensor, "b m p"]) -> Float[Tensor, "b m p"]:
        match self.config.normalised:
            case "none":
                return pixels
            case "patch":
                variance, mean = torch.var_mean(pixels, dim=-1, keepdim=True)
                return (pixels - mean) / (variance + _EPS).sqrt()
            case "channel":
                colours = rearrange(pixels, "b m (c x) -> b m c x", c=CHANNELS)
                variance, mean = torch.var_mean(colours, dim=-1, keepdim=True)
                return ((colours - mean) / (variance.sqrt() + _EPS)).flatten(2)


def _seen(masks: Masks) -> TokenSet:
    return TokenSet(masks.context_index, masks.context_valid)
