"""How sure a statistic over videos is: what it would be with other videos, drawn anew.

Each draw takes as many videos as there are, with replacement. Draws are the same on every call.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldmodel_train.cartography.explained_variance import VarianceSums

_BOOTSTRAPS = 1000


def bootstrap_interval(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """The 95 % interval of the mean when as many values are drawn anew."""
    return interval_over_draws(lambda drawn: values[drawn].mean(), len(values))


def interval_over_draws(
    statistic: Callable[[Int64[Tensor, "n"]], Float[Tensor, ""]], num_videos: int
) -> tuple[float, float]:
    """The 95 % interval of a statistic of the numbers of videos drawn."""
    values = torch.stack([statistic(drawn) for drawn in _draws(num_videos)])
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()
    return low, high


def spread_of_mean(values: Float[Tensor, " b"], videos: Sequence[str]) -> float:
    """Standard deviation of the mean over clips; `videos` names each clip's. NaN for one video."""
    names = sorted(set(videos))
    if len(names) < 2:
        return float("nan")
    member = torch.tensor([[video == name for video in videos] for name in names]).double()
    sums, counts = member @ values.double(), member.sum(dim=1)
    times = _times_drawn(len(names))
    return float(((times @ sums) / (times @ counts)).std())


def spread_of_explained_variance(videos: Sequence[VarianceSums]) -> float:
    """Standard deviation of the variance explained, of each video's sums. NaN for one video."""
    if len(videos) < 2:
        return float("nan")
    times = _times_drawn(len(videos))
    stacked = {
        f.name: torch.stack([getattr(video, f.name) for video in videos])
        for f in fields(VarianceSums)
    }
    drawn = {name: times @ sums.double() for name, sums in stacked.items()}
    around_mean = drawn["target"].square() / drawn["num_tokens"][:, None]
    total = (drawn["squared_target"] - around_mean).sum(dim=-1)
    return float((1 - drawn["squared_error"] / total).std())


def _draws(num_videos: int) -> Iterator[Int64[Tensor, "n"]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(_BOOTSTRAPS):
        yield torch.randint(num_videos, (num_videos,), generator=generator)


def _times_drawn(num_videos: int) -> Float[Tensor, "draws {num_videos}"]:
    """How often each video is in each draw."""
    return torch.stack([d.bincount(minlength=num_videos) for d in _draws(num_videos)]).double()
