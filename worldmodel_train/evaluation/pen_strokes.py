"""Probes on characters drawn stroke by stroke, by people whom the probe never saw."""

import torch
from einops import reduce
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.data.pen_strokes import pen_stroke_clips
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.frozen import Contestants, encode_in_batches
from worldmodel_train.evaluation.probe_suite import LabelledFeatures, run_probes
from worldmodel_train.evaluation.result import ProbeSuite
from worldmodel_train.probes.pooled_features import pooled_latents, pooled_pixels
from worldmodel_train.protocols import LatentPredictor


def probe_pen_strokes(
    models: Contestants, like: UInt8[Tensor, "b t h w c"], config: EvaluationConfig
) -> ProbeSuite:
    """Accuracies for character and alphabet, on clips of the same length and size as `like`."""
    assert config.probes is not None
    frames, size = like.shape[1], like.shape[2]
    strokes = pen_stroke_clips(frames, size, limit_characters=config.probes.characters)
    features: dict[str, Tensor] = {}
    for name, model in models:
        mean, parts = _encoder_features(model, strokes.clips, config.batch_size)
        features |= {f"{name}, mean": mean, f"{name}, 2x2x2": parts}
    features["pooled 8x8 pixels"] = pooled_pixels(strokes.clips)
    data = LabelledFeatures(
        features=features,
        labels={"character": strokes.character, "alphabet": strokes.alphabet},
        drawers=strokes.drawer,
    )
    return run_probes(data, config.probes)


def _encoder_features(
    model: LatentPredictor, clips: UInt8[Tensor, "b t h w c"], batch_size: int
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b f"]]:
    """The mean over all tokens of each clip, and the means over eight parts of it."""
    grid = model.token_grid(clips[:1])
    means, parts = [], []
    for latents in encode_in_batches(model, clips, batch_size):
        means.append(reduce(latents, "b n d -> b d", "mean"))
        parts.append(pooled_latents(latents, grid))
    return torch.cat(means), torch.cat(parts)
