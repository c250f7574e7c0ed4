"""Features of labelled clips: of both encoders, and of pixels, which have learned nothing."""

import torch
from einops import reduce
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.evaluation.frozen import Contestants, encode_in_batches
from worldmodel_train.probes.pooled_features import pooled_latents, pooled_pixels
from worldmodel_train.protocols import Encoder


def probe_features(
    models: Contestants[Encoder], clips: UInt8[Tensor, "b t h w c"], batch_size: int
) -> dict[str, Float[Tensor, "b _"]]:
    """By name: of each encoder the mean and eight means, then pooled pixels."""
    features: dict[str, Tensor] = {}
    for name, model in models:
        mean, parts = _encoder_features(model, clips, batch_size)
        features |= {f"{name}, mean": mean, f"{name}, 2x2x2": parts}
    return features | {"pooled 8x8 pixels": pooled_pixels(clips)}


def _encoder_features(
    model: Encoder, clips: UInt8[Tensor, "b t h w c"], batch_size: int
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b f"]]:
    """The mean over all tokens of each clip, and the means over eight parts of it."""
    grid = model.token_grid(clips[:1])
    means, parts = [], []
    for latents in encode_in_batches(model, clips, batch_size):
        means.append(reduce(latents, "b n d -> b d", "mean"))
        parts.append(pooled_latents(latents, grid))
    return torch.cat(means), torch.cat(parts)
