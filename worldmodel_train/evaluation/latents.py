"""Explained variance and rank of one model on held-out clips."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from worldmodel_train.cartography.explained_variance import VarianceSums, copy_nearest_visible
from worldmodel_train.cartography.spectrum import dimension_std, pairwise_cosine, rankme
from worldmodel_train.evaluation.config import EvaluationConfig
from worldmodel_train.evaluation.frozen import frozen, mean_latents
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
    by_seed = [_sum_over_clips(model, clips, masks, config, seed) for seed in config.mask_seeds]
    means = mean_latents(model, clips, config.batch_size)
    return LatentScores(
        overall=_scores([_total(groups) for groups in by_seed]),
        groups=tuple(_scores(list(seeds)) for seeds in zip(*by_seed, strict=True)),
        rankme=float(rankme(means)),
        dimension_std=float(dimension_std(means)),
        pairwise_cosine=float(pairwise_cosine(means)),
    )


def sample_groups(
    clips: UInt8[Tensor, "b t h w c"],
    masks: Sequence[MaskSampler],
    grid: TokenGrid,
    batch_size: int,
    seed: int,
) -> Iterator[ClipGroup]:
    """The clips in batches, each with its masks: a pure function of the seed."""
    for step, samples in enumerate(torch.arange(len(clips)).split(batch_size)):
        drawn = tuple(
            sampler.sample(grid, seed=seed, step=step, samples=samples.tolist())
            for sampler in masks
        )
        yield ClipGroup(clips=clips[samples], masks=drawn)


def _sum_over_clips(
    model: LatentPredictor,
    clips: Tensor,
    masks: Sequence[MaskSampler],
    config: EvaluationConfig,
    seed: int,
) -> list[_Sums]:
    """For each mask group the sums over all clips."""
    grid = model.token_grid(clips[:1])
    sums: list[_Sums] = []
    with frozen(model) as device:
        for group in sample_groups(clips, masks, grid, config.batch_size, seed):
            batch = _sum_over_batch(model, group.map(lambda tensor: tensor.to(device)), grid)
            sums = [_add(*both) for both in zip(sums, batch, strict=True)] if sums else batch
    return sums


def _sum_over_batch(model: LatentPredictor, group: ClipGroup, grid: TokenGrid) -> list[_Sums]:
    latents = model.encode(group.clips)
    return [
        (VarianceSums.of(pair), _copying(latents, pair, masks, grid))
        for pair, masks in zip(model.predict(group), group.masks, strict=True)
    ]


def _copying(latents: Tensor, pair: LatentPair, masks: Masks, grid: TokenGrid) -> VarianceSums:
    copied = copy_nearest_visible(latents, masks, grid)
    return VarianceSums.between(copied, pair.target, pair.valid)


def _add(one: _Sums, other: _Sums) -> _Sums:
    return one[0] + other[0], one[1] + other[1]


def _total(groups: list[_Sums]) -> _Sums:
    total, *rest = groups
    for sums in rest:
        total = _add(total, sums)
    return total


def _scores(by_seed: list[_Sums]) -> PredictionScores:
    predictor, copying = zip(*by_seed, strict=True)
    return PredictionScores(
        predictor=Measured(values=tuple(sums.explained_variance for sums in predictor)),
        copy_nearest=Measured(values=tuple(sums.explained_variance for sums in copying)),
    )
