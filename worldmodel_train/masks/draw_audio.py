"""The masks of sound, drawn where it is read, before anybody has made a spectrogram of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.protocols import MaskSampler
from worldmodel_train.types import Audio, MaskedAudio, TokenGrid


@dataclass(frozen=True, kw_only=True)
class AudioMaskPreparation:
    """Gives sound the masks of its spectrograms' tokens."""

    samplers: tuple[MaskSampler, ...]
    patch_samples: int
    """Samples of the waveform from one row of tokens to the next."""
    bands: int
    """Tokens of a row."""

    def __call__(self, audio: Sequence[Audio], *, seed: int, step: int) -> MaskedAudio:
        """The sound, masked once by every sampler."""
        (one,) = audio  # all stretches are of one length
        grid = TokenGrid(1, one.waveform.shape[1] // self.patch_samples, self.bands)
        masks = draw_masks(self.samplers, grid, seed=seed, step=step, samples=one.samples)
        return MaskedAudio(audio=one, masks=masks)
