"""Whether a view is found by what a model, told what was done, expects of it (arXiv 2403.00504)."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.models.views.colours import as_it_is
from worldmodel_train.models.views.geometry import whole
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.protocols import ForeseesViews


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """Of each clip, the mean over its views."""

    told: tuple[float, ...]
    """Reciprocal rank of the view that the model was told of, among all views of the clip."""
    told_of_others: tuple[float, ...]
    """The same where each view's prediction was told of the next view's change."""
    error: tuple[float, ...]
    """Squared distance to the view, as a multiple of that of the clip as it is: 1 is no better
    than to expect no change."""


def foreseen_scores(
    model: ForeseesViews,
    clips: UInt8[Tensor, "b t h w c"],
    view: ViewConfig,
    *,
    views: int,
    seed: int,
) -> Foreseen:
    """Of each clip `views` views, drawn from the seed, foreseen and looked for among each other."""
    with torch.random.fork_rng(devices=[]), frozen(model) as device:
        torch.manual_seed(seed)
        scores = [_of_one(model, clip.to(device), view, views) for clip in clips.split(1)]
    told, others, error = zip(*scores, strict=True)
    return Foreseen(told=told, told_of_others=others, error=error)


def reciprocal_ranks(
    expected: Float[Tensor, "v d"], seen: Float[Tensor, "v d"]
) -> Float[Tensor, "v"]:
    """1 over the rank of each one's own among all that were seen, the nearest one having rank 1.

    Where several are equally near they share the mean of their ranks: a model that sees the same in
    all views finds none. So 2 / (v + 1) is then the value of each.
    """
    distances = torch.cdist(expected.double(), seen.double())
    own = distances.diagonal()[:, None]
    nearer, as_near = (distances < own).sum(dim=1), (distances == own).sum(dim=1)
    return 1 / (nearer + (as_near + 1) / 2)


def by_chance(views: int) -> float:
    """The expected reciprocal rank in a random order, `H_v / v`.

    It is also the mean of whoever expects the same of all views: each rank then occurs once.
    """
    return fmean(1 / rank for rank in range(1, views + 1))


def _of_one(
    model: ForeseesViews, clip: UInt8[Tensor, "1 t h w c"], view: ViewConfig, views: int
) -> Sequence[float]:
    drawn = view.draw(clip.expand(views, *clip.shape[1:]))
    still = torch.cat((whole(1), as_it_is(1)), dim=1).to(clip.device)
    expected = model.foresee(clip, drawn.change - still)
    seen = model.view_vectors(drawn.pixels)
    unchanged = (model.view_vectors(clip) - seen).square().sum(dim=1)
    ranks = (reciprocal_ranks(one, seen) for one in (expected, expected.roll(1, dims=0)))
    error = (expected - seen).square().sum() / unchanged.sum()
    return [*(float(one.mean()) for one in ranks), float(error)]
