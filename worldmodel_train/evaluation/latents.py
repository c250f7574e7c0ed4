"""Explained variance and rank of one model on held-out clips."""

from collections.abc import Sequence

import torch
from einops import reduce
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.cartography.explained_variance import VarianceSums, copy_nearest_visible
from worldmodel_train.cartography.spectrum import dimension_std, pairwise_cosine, rankme
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.result import LatentScores, Measured, PredictionScores
from worldmodel_train.protocols import LatentPredictor, MaskSampler
from worldmodel_train.types import ClipGroup, LatentPair, Masks, TokenGrid

_Sums = tuple[VarianceSums, VarianceSums]  # of the predictor, of copying


def measure_latents(
    model: LatentPredictor,
    clips: UInt8[Tensor, "b t h w c"],
    masks: Sequence[MaskSampler],
    config: EvaluationConfig,
) -> LatentScores:
    """The scores of `model` on `clips`, with fresh masks for each of the config's seeds."""
    grid = model.token_grid(clips[:1])
    means: list[Tensor] = []
    sums: dict[int, list[_Sums]] = {seed: [] for seed in config.mask_seeds}
    with frozen(model) as device:
        for first in range(0, len(clips), config.batch_size):
            batch = clips[first : first + config.batch_size].to(device)
            latents = model.encode(batch).float()
            means.append(reduce(latents, "b n d -> b d", "mean").cpu())
            for seed, before in sums.items():
                drawn = draw_masks(masks, grid, seed, range(first, first + len(batch)))
                group = ClipGroup(clips=batch, masks=drawn).map(lambda ids: ids.to(device))
                sums[seed] = _add_groups(before, _sum_groups(model, group, latents, grid))
    return _latent_scores(list(sums.values()), torch.cat(means))


def draw_masks(
    masks: Sequence[MaskSampler], grid: TokenGrid, seed: int, samples: range
) -> tuple[Masks, ...]:
    """One set of masks for each group, a pure function of seed and samples.

    The first sample stands for the step, so that block sizes differ between batches.
    """
    return tuple(
        sampler.sample(grid, seed=seed, step=samples.start, samples=list(samples))
        for sampler in masks
    )


def _sum_groups(
    model: LatentPredictor, group: ClipGroup, latents: Float[Tensor, "b n d"], grid: TokenGrid
) -> list[_Sums]:
    """For each mask group the sums of the predictor and of copying."""
    return [
        (VarianceSums.of(pair), _copying(latents, pair, masks, grid))
        for pair, masks in zip(model.predict(group), group.masks, strict=True)
    ]


def _copying(latents: Tensor, pair: LatentPair, masks: Masks, grid: TokenGrid) -> VarianceSums:
    copied = copy_nearest_visible(latents, masks, grid)
    return VarianceSums.between(copied, pair.target, pair.valid)


def _add_groups(before: list[_Sums], more: list[_Sums]) -> list[_Sums]:
    return [_add(*both) for both in zip(before, more, strict=True)] if before else more


def _add(one: _Sums, other: _Sums) -> _Sums:
    return one[0] + other[0], one[1] + other[1]


def _total(groups: list[_Sums]) -> _Sums:
    total, *rest = groups
    for sums in rest:
        total = _add(total, sums)
    return total


def _latent_scores(by_seed: list[list[_Sums]], means: Float[Tensor, "b d"]) -> LatentScores:
    return LatentScores(
        overall=_prediction_scores([_total(groups) for groups in by_seed]),
        groups=tuple(_prediction_scores(list(seeds)) for seeds in zip(*by_seed, strict=True)),
        width=means.shape[1],
        rankme=float(rankme(means)),
        dimension_std=float(dimension_std(means)),
        pairwise_cosine=float(pairwise_cosine(means)),
    )


def _prediction_scores(by_seed: list[_Sums]) -> PredictionScores:
    predictor, copying = zip(*by_seed, strict=True)
    return PredictionScores(
        predictor=Measured(values=tuple(sums.explained_variance for sums in predictor)),
        copy_nearest=Measured(values=tuple(sums.explained_variance for sums in copying)),
    )
