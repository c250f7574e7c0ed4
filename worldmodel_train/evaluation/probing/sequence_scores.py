"""What single views of a clip tell, and what a model makes of several (arXiv 2505.03176)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.evaluation.frozen import (
    Contestants,
    frozen,
    mean_latents,
)
from worldmodel_train.evaluation.probing.view_scores import ViewPairs
from worldmodel_train.probes.pooled_features import pooled_pixels
from worldmodel_train.probes.states import state_scores
from worldmodel_train.protocols import ReadsViews, View

PIXELS = "pooled 8x8 pixels of the views"
AGGREGATE, MEAN = "aggregate", "mean of the views"


def look_around(model: ReadsViews, clips: UInt8[Tensor, "b t h w c"], seed: int) -> Sequence[View]:
    """Views of each clip, drawn from the seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model.look_around(clips)


def sequence_features(
    models: Contestants[ReadsViews], views: Sequence[View], batch_size: int
) -> dict[str, Float[Tensor, "b _"]]:
    """By name: of each encoder the aggregate and the mean latent of all views, then pixels."""
    features: dict[str, Tensor] = {}
    for name, model in models:
        features[f"{name}, {AGGREGATE}"] = _aggregates(model, views, batch_size)
        latents = [mean_latents(model, view.pixels, batch_size) for view in views]
        features[f"{name}, {MEAN}"] = torch.stack(latents).mean(dim=0)
    pixels = torch.stack([pooled_pixels(view.pixels) for view in views])
    return features | {PIXELS: pixels.mean(dim=0)}


def told_of_changes(
    models: Contestants[ReadsViews], views: Sequence[View], *, splits: int, batch_size: int
) -> dict[str, Mapping[str, tuple[float, ...]]]:
    """Of both encoders and of pixels, what two views tell of the change from one to the other.

    Only of what does change: share of the variance, or area under the ROC curve, split by split.
    Nothing where there is one view.
    """
    if len(views) < 2:
        return {}
    pair = ViewPairs(one=views[0], other=views[1])
    states = [state for state in pair.differences if np.ptp(state.values) > 0]
    seen = {
        name: [mean_latents(model, view.pixels, batch_size) for view in views[:2]]
        for name, model in models
    }
    seen[PIXELS] = [pooled_pixels(view.pixels) for view in views[:2]]
    return {
        name: state_scores(torch.cat(both, dim=1)[:, None].double().numpy(), states, splits=splits)
        for name, both in seen.items()
    }


def _aggregates(model: ReadsViews, views: Sequence[View], batch_size: int) -> Float[Tensor, "b d"]:
    batches = []
    with frozen(model) as device:
        for rows in torch.arange(len(views[0].pixels)).split(batch_size):
            some = [
                replace(
                    view,
                    pixels=view.pixels[rows].to(device),
                    change=view.change[rows].to(device),
                )
                for view in views
            ]
            batches.append(model.aggregate(some).float().cpu())
    return torch.cat(batches)
