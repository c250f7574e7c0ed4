"""Explained variance and rank of one model on held-out clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.cartography.explained_variance import VarianceSums, copy_nearest_visible
from worldmodel_train.cartography.place_and_clip import PlaceMeans, place_and_clip
from worldmodel_train.cartography.spectrum import dimension_std, pairwise_cosine, rankme
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.bootstrap import spread_of_explained_variance
from worldmodel_train.evaluation.frozen import encode_in_batches, frozen
from worldmodel_train.evaluation.latents.latent_scores import LatentScores, PredictionScores
from worldmodel_train.evaluation.task_result import Measured
from worldmodel_train.masks.draw import draw_masks
from worldmodel_train.protocols import LatentPredictor, MaskSampler
from worldmodel_train.types import ClipGroup

MASKED_TOGETHER = 16
"""Clips that share a draw of masks, which cuts them to one size, whatever is computed at once."""
RANKED_TOKENS = 4096
"""Most token latents whose rank is taken, spread over clips and places."""


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What one clip adds to the sums, under one draw of one mask group."""

    seed: int
    group: int
    video: str
    predictor: VarianceSums
    copy_nearest: VarianceSums
    place_and_clip: VarianceSums


@dataclass(frozen=True, kw_only=True)
class _Latents:
    """What is kept of all clips' latents."""

    means: Float[Tensor, "b d"]
    tokens: Float[Tensor, "p d"]
    places: PlaceMeans


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """Who predicts what."""

    model: LatentPredictor
    held_out: FixedClips
    masks: Sequence[MaskSampler]
    places: PlaceMeans
    batch_size: int


def measure_latents(
    model: LatentPredictor,
    held_out: FixedClips,
    masks: Sequence[MaskSampler],
    *,
    seeds: Sequence[int],
    batch_size: int,
) -> LatentScores:
    """The scores of `model` on the clips, with fresh masks for each of the seeds."""
    latents = _encode(model, held_out, batch_size)
    setting = _Setting(
        model=model,
        held_out=held_out,
        masks=masks,
        places=latents.places,
        batch_size=batch_size,
    )
    shares = [share for seed in seeds for share in _predict(setting, seed)]
    videos = sorted(set(held_out.keys))
    return LatentScores(
        overall=_scores(shares, seeds),
        groups=tuple(
            _scores([share for share in shares if share.group == group], seeds)
            for group in range(len(masks))
        ),
        over_videos=spread_of_explained_variance(
            [_sum(shares, "predictor", video=video) for video in videos]
        ),
        width=latents.means.shape[1],
        rankme=float(rankme(latents.means)),
        token_rankme=float(rankme(latents.tokens)),
        dimension_std=float(dimension_std(latents.means)),
        pairwise_cosine=float(pairwise_cosine(latents.means)),
    )


def _encode(model: LatentPredictor, held_out: FixedClips, batch_size: int) -> _Latents:
    places, means, tokens, number = PlaceMeans(), list[Tensor](), list[Tensor](), 0
    per_clip = max(1, RANKED_TOKENS // len(held_out.clips))
    for batch in encode_in_batches(model, held_out.clips, batch_size):
        places.add(batch, held_out.keys[number : number + len(batch)])
        means.append(batch.mean(dim=1))
        for clip in batch:
            # every clip begins at another place, so that together they cover all
            evenly = torch.arange(min(per_clip, len(clip))) * len(clip) // per_clip
            tokens.append(clip[(evenly + number) % len(clip)])
            number += 1
    return _Latents(means=torch.cat(means), tokens=torch.cat(tokens), places=places)


def _predict(setting: _Setting, seed: int) -> Iterator[_Share]:
    """The shares of all clips under one draw of masks."""
    clips, videos = setting.held_out.clips, setting.held_out.keys
    grid = setting.model.token_grid(clips[:1])
    with frozen(setting.model) as device:
        for first in range(0, len(clips), MASKED_TOGETHER):
            samples = range(first, min(first + MASKED_TOGETHER, len(clips)))
            drawn = draw_masks(setting.masks, grid, seed=seed, step=first, samples=samples)
            for ids in _batches(samples, setting.batch_size):
                rows = slice(ids.start - first, ids.stop - first)
                masks = tuple(mask.map(lambda t, rows=rows: t[rows]) for mask in drawn)
                group = ClipGroup(
                    clips=clips[ids.start : ids.stop],
                    masks=masks,
                    length_index=setting.held_out.length_index,
                )
                group = group.map(lambda tensor: tensor.to(device))
                yield from _shares(setting, group, videos[ids.start : ids.stop], seed)


def _batches(samples: range, size: int) -> Iterator[range]:
    for start in range(samples.start, samples.stop, size):
        yield range(start, min(start + size, samples.stop))


def _shares(
    setting: _Setting, group: ClipGroup, videos: Sequence[str], seed: int
) -> Iterator[_Share]:
    """What the clips of one forward pass add."""
    model, grid = setting.model, setting.model.token_grid(group.clips)
    latents = model.encode(group.clips).float()
    usual = torch.stack([setting.places.without(v) for v in videos]).to(latents.device)
    for number, (pair, masks) in enumerate(zip(model.predict(group), group.masks, strict=True)):
        answers = {
            "predictor": pair.predicted,
            "copy_nearest": copy_nearest_visible(latents, masks, grid),
            "place_and_clip": place_and_clip(latents, usual, masks),
        }
        for clip, video in enumerate(videos):
            one = slice(clip, clip + 1)
            valid = None if pair.valid is None else pair.valid[one]
            sums = {
                name: VarianceSums.between(answer[one], pair.target[one], valid)
                for name, answer in answers.items()
            }
            yield _Share(seed=seed, group=number, video=video, **sums)


def _scores(shares: Sequence[_Share], seeds: Sequence[int]) -> PredictionScores:
    measured = {
        name: Measured(
            values=tuple(_sum(shares, name, seed=seed).explained_variance for seed in seeds)
        )
        for name in PredictionScores.model_fields
    }
    return PredictionScores(**measured)


def _sum(shares: Sequence[_Share], name: str, **where: object) -> VarianceSums:
    """The sums of one answer over the shares whose fields are as given."""
    chosen = [s for s in shares if all(getattr(s, key) == value for key, value in where.items())]
    return reduce(add, [getattr(share, name) for share in chosen])
