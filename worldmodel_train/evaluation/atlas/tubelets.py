"""Features of each moment of a clip: a tubelet's latents pooled over space, or its pixels."""

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from worldmodel_train.evaluation.frozen import encode_in_batches
from worldmodel_train.probes.pooled_features import pooled_pixels
from worldmodel_train.protocols import Encoder

_BATCH = 32


def token_volume(model: Encoder, clips: UInt8[Tensor, "v f h w c"]) -> Float[Tensor, "v t y x d"]:
    """The tokens of each clip in their places."""
    grid = model.token_grid(clips[:1])
    latents = torch.cat(list(encode_in_batches(model, clips, _BATCH)))
    return rearrange(latents, "v (t y x) d -> v t y x d", t=grid.frames, y=grid.height)


def mean_of_moments(volume: Float[Tensor, "v t y x d"]) -> Float[ndarray, "v t d"]:
    """One latent for each tubelet: the mean over its tokens."""
    return reduce(volume, "v t y x d -> v t d", "mean").numpy()


def quarters_of_moments(volume: Float[Tensor, "v t y x d"]) -> Float[ndarray, "v t e"]:
    """Four means for each tubelet, of its quarters."""
    flat = rearrange(volume, "v t y x d -> (v t) d y x")
    pooled = adaptive_avg_pool2d(flat, (2, 2))
    return rearrange(pooled, "(v t) d y x -> v t (y x d)", v=len(volume)).numpy()


def pixels_of_moments(clips: UInt8[Tensor, "v f h w c"], moments: int) -> Float[ndarray, "v t e"]:
    """8x8 pixels of each frame of the tubelet and of the one before, which shows motion."""
    cut = rearrange(clips, "v (t u) h w c -> (v t) u h w c", t=moments)
    now = rearrange(pooled_pixels(cut), "(v t) e -> v t e", t=moments).numpy()
    before = np.concatenate((now[:, :1], now[:, :-1]), axis=1)
    return np.concatenate((before, now), axis=2)
