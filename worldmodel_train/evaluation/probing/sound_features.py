"""Features of sound: of both encoders, and of spectrograms, which have learned nothing."""

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from worldmodel_train.evaluation.frozen import Contestants, frozen
from worldmodel_train.evaluation.samples import rows
from worldmodel_train.probes.pooled_features import pooled_latents
from worldmodel_train.protocols import SoundEncoder
from worldmodel_train.types import Audio

_PARTS = (1, 4, 2)
"""Of time, which is the height of a spectrogram, four; of frequency two."""
_TIMES = 8


def sound_features(
    models: Contestants[SoundEncoder], audio: Audio, batch_size: int
) -> dict[str, Float[Tensor, "b _"]]:
    """By name: of each encoder the mean and eight means, then of log-mel energies the same."""
    features: dict[str, list[Tensor]] = {}
    for first in range(0, audio.num_samples, batch_size):
        batch = rows(audio, slice(first, first + batch_size))
        assert isinstance(batch, Audio)
        for name, found in _of_batch(models, batch).items():
            features.setdefault(name, []).append(found)
    return {name: torch.cat(parts) for name, parts in features.items()}


def _of_batch(models: Contestants[SoundEncoder], batch: Audio) -> dict[str, Float[Tensor, "b _"]]:
    features: dict[str, Tensor] = {}
    for name, model in models:
        with frozen(model) as device:
            moved = batch.map(lambda tensor, to=device: tensor.to(to))
            latents = model.encode_sound(moved).float().cpu()
            spectrograms = model.spectrograms(moved).float().cpu()
        features[f"{name}, mean"] = reduce(latents, "b n d -> b d", "mean")
        features[f"{name}, 4x2"] = pooled_latents(latents, model.sound_grid(batch), _PARTS)
        # the same of both models, as nothing of them is learned
        features["log-mel, mean"] = reduce(spectrograms, "b t m -> b m", "mean")
        features[f"log-mel, {_TIMES} times"] = _in_times(spectrograms)
    return {name: features[name] for name in sorted(features, key=lambda n: n.startswith("log"))}


def _in_times(spectrograms: Float[Tensor, "b t m"]) -> Float[Tensor, "b f"]:
    """Each band averaged in equal parts of time."""
    bands = rearrange(spectrograms, "b t m -> b m t")
    return adaptive_avg_pool1d(bands, _TIMES).flatten(1)
