"""Explained variance of one model's latents of the future, by how far ahead they lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.cartography.explained_variance import VarianceSums
from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.bootstrap import spread_of_explained_variance
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.masks.past_and_future import past_and_future
from worldmodel_train.protocols import LatentPredictor
from worldmodel_train.types import ClipGroup


@dataclass(frozen=True, kw_only=True)
class HorizonScores:
    """Explained variance by each answer, one value for each tubelet after the last seen one."""

    predictor: tuple[float, ...]
    copy_last: tuple[float, ...]
    """The latent of the last seen tubelet at the same place."""
    line: tuple[float, ...]
    """The line through the latents of the last two seen tubelets at the same place."""
    copy_last_of_whole: tuple[float, ...]
    """As `copy_last`, from latents of an encoder that has seen the whole clip."""
    over_videos: tuple[float, ...]
    """Standard deviation of the predictor's over bootstraps of the videos."""


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What one clip adds to the sums of one horizon, by answer."""

    video: str
    horizon: int
    sums: Mapping[str, VarianceSums]


def measure_horizons(
    model: LatentPredictor, held_out: FixedClips, *, num_seen: int, batch_size: int
) -> HorizonScores:
    """What `model` explains of each tubelet after the first `num_seen`, all predicted at once."""
    shares: list[_Share] = []
    with frozen(model) as device:
        for first in range(0, len(held_out.clips), batch_size):
            group = future_group(model, held_out, slice(first, first + batch_size), num_seen)
            target, answers = _answers(model, group.map(lambda t: t.to(device)), num_seen)
            shares += _shares(target, answers, held_out.keys[first : first + batch_size])
    horizons = range(1 + max(share.horizon for share in shares))
    by_horizon = [[share for share in shares if share.horizon == h] for h in horizons]
    return HorizonScores(
        **{
            name: tuple(_sum(there, name).explained_variance for there in by_horizon)
            for name in shares[0].sums
        },
        over_videos=tuple(_over_videos(there) for there in by_horizon),
    )


def future_group(
    model: LatentPredictor, held_out: FixedClips, rows: slice, num_seen: int
) -> ClipGroup:
    """Clips whose first `num_seen` tubelets are context and whose others are one target set.

    It has one mask group, for which a predictor takes the mask token of its first.
    """
    clips = held_out.clips[rows]
    masks = past_and_future(model.token_grid(clips), num_seen, len(clips))
    return ClipGroup(clips=clips, masks=(masks,), length_index=held_out.length_index)


def _answers(
    model: LatentPredictor, group: ClipGroup, num_seen: int
) -> tuple[Float[Tensor, "b t p d"], dict[str, Float[Tensor, "b t p d"]]]:
    """The latents of the tubelets to predict, and each answer to them, on the CPU."""
    grid = model.token_grid(group.clips)
    (pair,) = model.predict(group)
    target, predicted = (
        rearrange(latents, "b 1 (t p) d -> b t p d", t=grid.frames - num_seen).float().cpu()
        for latents in (pair.target, pair.predicted)
    )
    pictures = num_seen * (group.clips.shape[1] // grid.frames)
    past = _by_tubelet(model, group.clips[:, :pictures])
    # every token of a whole clip knows of all others, so this one's last seen tubelet may too
    whole = _by_tubelet(model, group.clips)
    last, ahead = past[:, -1:], torch.arange(1, target.shape[1] + 1)[:, None, None]
    return target, {
        "predictor": predicted,
        "copy_last": last.expand_as(target),
        "line": last + ahead * (last - past[:, -2:-1]),
        "copy_last_of_whole": whole[:, num_seen - 1, None].expand_as(target),
    }


def _by_tubelet(
    model: LatentPredictor, clips: UInt8[Tensor, "b t h w c"]
) -> Float[Tensor, "b n p d"]:
    """What the target encoder sees in these pictures alone, on the CPU."""
    tubelets = model.token_grid(clips).frames
    return rearrange(model.encode(clips).float().cpu(), "b (n p) d -> b n p d", n=tubelets)


def _shares(
    target: Float[Tensor, "b t p d"],
    answers: Mapping[str, Float[Tensor, "b t p d"]],
    videos: Sequence[str],
) -> Iterator[_Share]:
    for clip, video in enumerate(videos):
        for horizon in range(target.shape[1]):
            one = slice(clip, clip + 1), slice(horizon, horizon + 1)
            sums = {name: VarianceSums.between(a[one], target[one]) for name, a in answers.items()}
            yield _Share(video=video, horizon=horizon, sums=sums)


def _sum(shares: Sequence[_Share], name: str) -> VarianceSums:
    return reduce(add, [share.sums[name] for share in shares])


def _over_videos(shares: Sequence[_Share]) -> float:
    videos = sorted({share.video for share in shares})
    return spread_of_explained_variance(
        [_sum([share for share in shares if share.video == v], "predictor") for v in videos]
    )
