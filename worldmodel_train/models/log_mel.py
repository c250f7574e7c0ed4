"""Log-mel spectrograms, made on the device, in fp32 whatever the precision around them."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from worldmodel_train.config import StrictConfig
from worldmodel_train.facts import AudioFacts
from worldmodel_train.models.token_fit import not_a_multiple


class FixedScale(StrictConfig):
    """The same for all recordings: less `mean`, over `std`."""

    name: Literal["fixed"] = "fixed"
    mean: float
    """Of log energies, over the training set."""
    std: float = Field(gt=0)
    """Their standard deviation, or a multiple of it."""

    def scale(self, spectrograms: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """Spectrograms of about mean 0 and one spread."""
        return (spectrograms - self.mean) / self.std


class PerClipScale(StrictConfig):
    """Each stretch by its own mean and standard deviation: how loud it is does not count.

    Two numbers of all of it are then in each of its tokens, also of what is hidden.
    """

    name: Literal["per_clip"] = "per_clip"

    def scale(self, spectrograms: Float[Tensor, "b t m"]) -> Float[Tensor, "b t m"]:
        """Spectrograms of mean 0 and, where they are not silent, standard deviation 1."""
        mean = spectrograms.mean(dim=(1, 2), keepdim=True)
        std = spectrograms.std(dim=(1, 2), keepdim=True)
        return (spectrograms - mean) / std.clamp(min=1e-3)


class LogMelConfig(StrictConfig):
    """Energies in bands that are evenly spaced in pitch, and their logarithm."""

    rate: int = Field(default=16_000, gt=0)
    """Samples a second, as `data.rate` has them."""
    window: int = Field(default=400, gt=1)
    """Samples of a Hann window; 400 of 16 kHz are 25 ms."""
    hop: int = Field(default=160, gt=0)
    """Samples from one frame to the next; 160 of 16 kHz are 10 ms."""
    fft: int = Field(default=1024, gt=1)
    """Samples of a Fourier transform: the window, with zeros around it. The 512 that others take at
    16 kHz leave one of 128 bands without any frequency."""
    mels: int = Field(default=128, gt=0)
    """Bands."""
    low_hz: float = Field(default=20.0, ge=0)
    """Where the lowest band begins."""
    high_hz: float | None = Field(default=None, gt=0)
    """Where the highest ends; null for half the rate."""
    floor: float = Field(default=1e-6, gt=0)
    """Added to each energy: silence has its logarithm."""
    scale: Annotated[FixedScale | PerClipScale, Field(discriminator="name")] = PerClipScale()
    """How log energies are brought to about mean 0 and standard deviation 1."""

    @property
    def highest(self) -> float:
        """Where the highest band ends, in Hz."""
        return self.rate / 2 if self.high_hz is None else self.high_hz

    def frames(self, samples: int) -> int:
        """Frames of so many samples."""
        return samples // self.hop

    def misfits(self, audio: AudioFacts, patch: int) -> Iterator[tuple[str, str]]:
        """Each value that does not suit the sound or a patch, as key and what to write."""
        if audio.rate != self.rate:
            yield "rate", f"{self.rate} Hz, but data.rate={audio.rate}; use one for both"
        if self.mels % patch:
            yield "mels", not_a_multiple(self.mels, patch, "method.encoder.patch")
        step = self.hop * patch
        if audio.samples % step:
            fitting = max(1, round(audio.samples / step)) * step / audio.rate
            message = f"{audio.samples} samples are no whole patches of {patch} frames; "
            yield "hop", message + f"use data.seconds={fitting:g}"
        if audio.samples <= self.fft // 2:
            yield "fft", f"{self.fft} samples of {audio.samples} that are heard; use fewer"

    @model_validator(mode="after")
    def _bands_can_be_told_apart(self) -> "LogMelConfig":
        if self.window > self.fft:
            raise ValueError(f"window={self.window} is more than fft={self.fft}; raise the latter")
        if not self.low_hz < self.highest <= self.rate / 2:
            raise ValueError(
                f"bands from {self.low_hz:g} to {self.highest:g} Hz; use some from 0 up to "
                f"{self.rate / 2:g} Hz, half the rate"
            )
        deaf = int((mel_filters(self) == 0).all(dim=0).sum())
        if deaf:
            raise ValueError(
                f"{deaf} of mels={self.mels} bands are so narrow that fft={self.fft} has no "
                "frequency in them; use fewer bands or a larger fft"
            )
        return self


class LogMel:
    """Waveforms to spectrograms; keeps what it needs on each device that it has met.

    No module, as it learns nothing: buffers of one would be rounded where weights are.
    """

    def __init__(self, config: LogMelConfig) -> None:
        self.config = config
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "b s"]) -> Float[Tensor, "b t m"]:
        """Scaled log energies of `s // hop` frames, frame i centred on sample i * hop.

        What lies before the first sample and behind the last counts as silence.
        """
        config = self.config
        window, filters = self._on(waveform.device)
        with torch.autocast(waveform.device.type, enabled=False):
            waves = torch.stft(
                waveform.float(),
                config.fft,
                hop_length=config.hop,
                win_length=config.window,
                window=window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            )
            energy = waves[:, :, : config.frames(waveform.shape[1])].abs().square()
            bands = energy.transpose(1, 2) @ filters
            return config.scale.scale(torch.log(bands + config.floor))

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._tables:
            # what is made in inference mode could not be used in training
            with torch.inference_mode(mode=False):
                window = torch.hann_window(self.config.window, device=device)
                self._tables[device] = window, mel_filters(self.config).to(device)
        return self._tables[device]


def mel_filters(config: LogMelConfig) -> Float[Tensor, "frequencies m"]:
    """How much each frequency of the transform counts in each band.

    Bands are triangles of height 1 whose corners are evenly spaced on HTK's mel scale, each
    reaching from the middle of the band below to that of the band above.
    """
    ends = torch.tensor([config.low_hz, config.highest], dtype=torch.float64)
    low, high = _mel(ends).tolist()
    corners = _hertz(torch.linspace(low, high, config.mels + 2, dtype=torch.float64))
    frequencies = torch.linspace(0, config.rate / 2, config.fft // 2 + 1, dtype=torch.float64)
    below, middle, above = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequencies[:, None] - below) / (middle - below)
    falling = (above - frequencies[:, None]) / (above - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()


def _mel(hertz: Float[Tensor, "_"]) -> Float[Tensor, "_"]:
    return 2595 / math.log(10) * torch.log1p(hertz / 700)


def _hertz(mel: Float[Tensor, "_"]) -> Float[Tensor, "_"]:
    return 700 * torch.expm1(mel * math.log(10) / 2595)
