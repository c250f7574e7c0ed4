"""A-JEPA: predict the latents of hidden parts of a spectrogram (arXiv 2311.15830).

It is I-JEPA on log-mel spectrograms, whose masks turn from blocks into times and bands.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import DataFacts, Misfit, RecipeFacts
from worldmodel_train.jepa.drawn_masks import (
    NUM_DRAWS,
    ClipLength,
    drawn_tokens,
    masked_flops,
    token_table,
)
from worldmodel_train.jepa.half_seen import loss_of_each
from worldmodel_train.jepa.mask_misfits import grid_misfits
from worldmodel_train.jepa.monitored_tokens import monitored_tokens
from worldmodel_train.losses import LossConfig, Lp
from worldmodel_train.masks import MaskConfig, TimeFrequency
from worldmodel_train.masks.draw_audio import AudioMaskPreparation
from worldmodel_train.masks.multiblock2d import Multiblock2D
from worldmodel_train.masks.past_and_future import halves
from worldmodel_train.models.blocks import BlocksConfig, init_linear
from worldmodel_train.models.cost import PlainCost, built_parameters
from worldmodel_train.models.flops import blocks_forward, once_each, predictor_forward
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.log_mel import LogMel, LogMelConfig
from worldmodel_train.models.parameter_groups import parameter_groups
from worldmodel_train.models.predictor import Predictor, PredictorConfig
from worldmodel_train.models.projection_head import head_forward
from worldmodel_train.models.sincos import SinCos2d
from worldmodel_train.models.spectrogram_embed import SpectrogramEmbed
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import EncoderConfig, TokenTransformer
from worldmodel_train.protocols import EmaPair, ParameterGroup
from worldmodel_train.types import Audio, LatentPair, Losses, MaskedAudio, Masks, TokenGrid


class Config(StrictConfig):
    """A-JEPA; the residual weights begin as I-JEPA's released code draws them."""

    takes: ClassVar[str] = "audio"

    spectrogram: LogMelConfig = LogMelConfig()
    encoder: EncoderConfig
    predictor: PredictorConfig
    masks: tuple[MaskConfig, ...] = Field(min_length=1)
    """Mask groups; every spectrogram is masked once by each, and each has its own mask token."""
    loss: LossConfig = Lp(p=2.0)

    @classmethod
    def tiny(cls) -> "Config":
        """A model that trains in moments on a CPU, for tests."""
        size = BlocksConfig(width=48, depth=2, heads=3)
        return cls(
            spectrogram=LogMelConfig(rate=4000, window=64, hop=32, fft=128, mels=16),
            encoder=EncoderConfig(size=size, patch=4, tubelet=1, position=SinCos2d()),
            predictor=PredictorConfig(width=32, depth=2, heads=2, mask_token_std=0.02),
            masks=(TimeFrequency(ramp_steps=4, blocks=Multiblock2D(min_keep=2)),),
        )

    @field_validator("encoder")
    @classmethod
    def _spectrograms_have_one_frame(cls, encoder: EncoderConfig) -> EncoderConfig:
        if encoder.tubelet != 1:
            raise ValueError(f"tubelet={encoder.tubelet}, but a spectrogram is one image; use 1")
        return encoder

    def misfits(self, facts: RecipeFacts) -> Iterator[Misfit]:
        """Spectrograms that are no whole patches, and masks that do not suit them."""
        audio = facts.data.audio
        assert audio is not None, "what is taken was checked"
        wrong = list(self.spectrogram.misfits(audio, self.encoder.patch))
        yield from ((("method", "spectrogram", key), message) for key, message in wrong)
        if len(self.masks) > self.predictor.mask_tokens:
            message = f"{self.predictor.mask_tokens} cannot serve {len(self.masks)} mask groups"
            yield ("method", "predictor", "mask_tokens"), f"{message}; use {len(self.masks)}"
        if not wrong:  # else there is nothing to mask
            yield from grid_misfits([self._grid(audio.samples)], self.masks, facts)

    def preparation(self) -> AudioMaskPreparation:
        """Masks are drawn where sound is read."""
        patch = self.encoder.patch
        return AudioMaskPreparation(
            samplers=self.masks,
            patch_samples=self.spectrogram.hop * patch,
            bands=self.spectrogram.mels // patch,
        )

    def cost(self, facts: RecipeFacts) -> PlainCost:
        """Parameters and operations of a stretch of sound, the spectrogram's included.

        Masks, which turn from blocks into times and bands, are those of steps all over the run.
        """
        audio, blocks = facts.data.audio, self.encoder.blocks
        assert audio is not None, "what is taken was checked"
        grid, mel = self._grid(audio.samples), self.spectrogram
        steps = [draw * facts.steps // NUM_DRAWS for draw in range(NUM_DRAWS)]
        masks = drawn_tokens(grid, self.masks, steps, together=facts.micro_batch, seed=facts.seed)
        length = ClipLength(
            frames=mel.frames(audio.samples),
            share=1.0,
            together=facts.micro_batch,
            grid=grid,
            masks=masks,
        )
        embed = head_forward((self.encoder.patch**2, blocks.width))
        hears = blocks_forward(blocks, grid.num_tokens).plus(embed.times(grid.num_tokens))
        flops = masked_flops(
            [length],
            target=lambda _: hears,
            # spectrograms are given no gradient
            context=lambda _, tokens: once_each(blocks_forward(blocks, tokens)).plus(
                embed.times(2 * tokens)
            ),
            predictor=lambda mask: once_each(predictor_forward(self.predictor, self.encoder, mask)),
        )
        bands = head_forward((mel.fft // 2 + 1, mel.mels)).times(length.frames)
        return PlainCost(
            parameters=built_parameters(self.build),
            flops={"bands of the spectrogram": bands, **flops},
            tables=[token_table([length])],
        )

    def build(self, data: DataFacts | None = None) -> "AudioJepa":
        """A freshly initialised objective, drawn from torch's global generator; any data suits."""
        del data
        embed = SpectrogramEmbed(self.encoder.blocks.width, patch=self.encoder.patch)
        encoder = TokenTransformer(self.encoder, embed)
        predictor = self.predictor.build(self.encoder)
        encoder.apply(init_linear)
        predictor.apply(init_linear)
        return AudioJepa(encoder, predictor, LogMel(self.spectrogram), self.loss)

    def _grid(self, samples: int) -> TokenGrid:
        frames, patch = self.spectrogram.frames(samples), self.encoder.patch
        return TokenGrid.of(1, frames, self.spectrogram.mels, tubelet=1, patch=patch)


class AudioJepa(nn.Module):
    """A context encoder and a predictor regress what a slow copy of the encoder hears."""

    def __init__(
        self,
        encoder: TokenTransformer[SpectrogramEmbed],
        predictor: Predictor,
        log_mel: LogMel,
        loss: LossConfig,
    ) -> None:
        super().__init__()
        self.context_encoder = encoder
        self.target_encoder = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.predictor = predictor
        self.log_mel = log_mel
        self.loss = loss

    def training_losses(self, content: MaskedAudio) -> Losses:
        """The loss of one batch, over targets in which anything was recorded."""
        pairs = self._pairs(content)
        by_mask = [self.loss.loss(p.predicted, p.target, p.valid) for p in pairs]
        watched = monitored_tokens([pairs])
        return Losses(
            total=torch.stack(by_mask).mean(),
            terms={f"mask_{i}": loss.detach() for i, loss in enumerate(by_mask)},
            latents={"predicted": watched.predicted, "target": watched.target},
            samples=watched.samples,
        )

    def energy(self, context: Audio, target: Audio) -> Float[Tensor, "b"]:
        """The loss of the latents of the second half as predicted from the first, pair by pair.

        As in training of what was recorded alone; it is 0 where nothing was.
        """
        grid = self.sound_grid(context)
        masks = halves(grid, context.num_samples).map(lambda t: t.to(context.waveform.device))
        waveform = context.waveform.clone()
        # frames at the border would hear a little of what comes after it
        waveform[:, grid.height // 2 * self._patch_samples :] = 0
        (predicted,) = self._predict(
            self.spectrograms(replace(context, waveform=waveform)), [masks]
        )
        seen = gather_sets(self.encode_sound(target), masks.target_index)
        return loss_of_each(self.loss, predicted, seen, self._recorded(target, masks))

    def spectrograms(self, audio: Audio) -> Float[Tensor, "b t m"]:
        """The scaled log-mel spectrograms that the encoders are given."""
        return self.log_mel(audio.waveform)

    def sound_grid(self, audio: Audio) -> TokenGrid:
        """Tokens of a spectrogram along time (as height) and frequency (as width)."""
        frames, patch = (
            audio.waveform.shape[1] // self._patch_samples,
            self.context_encoder.config.patch,
        )
        return TokenGrid(1, frames, self.log_mel.config.mels // patch)

    @torch.no_grad()
    def encode_sound(self, audio: Audio) -> Float[Tensor, "b n d"]:
        """What the target encoder hears in all of it, each token normalised to mean 0, std 1.

        This is the space of the targets.
        """
        return self._targets(self.spectrograms(audio))

    def ema_pairs(self) -> Sequence[EmaPair]:
        """The target encoder follows the context encoder."""
        return [EmaPair(student=self.context_encoder, teacher=self.target_encoder)]

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Encoder and predictor, each with and without weight decay."""
        return parameter_groups(encoder=self.context_encoder, predictor=self.predictor)

    def _pairs(self, content: MaskedAudio) -> list[LatentPair]:
        """Predicted and target latents for each mask group; every network runs once."""
        spectrograms = self.spectrograms(content.audio)
        seen = self._targets(spectrograms)
        predictions = self._predict(spectrograms, content.masks)
        return [
            LatentPair(
                predicted=predicted,
                target=gather_sets(seen, masks.target_index),
                valid=self._recorded(content.audio, masks),
            )
            for predicted, masks in zip(predictions, content.masks, strict=True)
        ]

    def _predict(
        self, spectrograms: Float[Tensor, "b t m"], masks: Sequence[Masks]
    ) -> list[Float[Tensor, "b _ _ d"]]:
        kept = [TokenSet(mask.context_index, mask.context_valid) for mask in masks]
        contexts = self.context_encoder(spectrograms, kept)
        grid = self.context_encoder.token_grid(spectrograms)
        predictions = self.predictor(contexts, masks, grid, range(len(masks)))
        return [predicted.float() for predicted in predictions]

    @torch.no_grad()
    def _targets(self, spectrograms: Float[Tensor, "b t m"]) -> Float[Tensor, "b n d"]:
        (latents,) = self.target_encoder(spectrograms)
        latents = latents.float()
        return functional.layer_norm(latents, latents.shape[-1:])

    def _recorded(self, audio: Audio, masks: Masks) -> Bool[Tensor, "b g m"]:
        """Which targets begin before the recording ends: behind it there is nothing to hear."""
        bands = self.sound_grid(audio).width
        begins = masks.target_index // bands * self._patch_samples
        return begins < audio.heard[:, None, None]

    @property
    def _patch_samples(self) -> int:
        """Samples of the waveform from one row of tokens to the next."""
        return self.log_mel.config.hop * self.context_encoder.config.patch
