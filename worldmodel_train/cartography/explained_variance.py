"""How much of the variation of held-out target latents the predictor explains."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worldmodel_train.types import LatentPair, Masks, TokenGrid


@dataclass(frozen=True, kw_only=True)
class VarianceSums:
    """Sums over target tokens, float64 on the CPU; they add up over batches and mask groups."""

    num_tokens: Int[Tensor, ""]
    squared_error: Float[Tensor, ""]
    target: Float[Tensor, "d"]
    squared_target: Float[Tensor, "d"]

    @classmethod
    def of(cls, pair: LatentPair) -> "VarianceSums":
        """The sums of one pair over its valid tokens."""
        return cls.between(pair.predicted, pair.target, pair.valid)

    @classmethod
    def between(
        cls,
        predicted: Float[Tensor, "b g m d"],
        target: Float[Tensor, "b g m d"],
        valid: Bool[Tensor, "b g m"] | None = None,
    ) -> "VarianceSums":
        """The sums of `predicted` against `target` where `valid` is not False."""
        chosen = torch.ones(target.shape[:3], dtype=torch.bool) if valid is None else valid
        chosen = chosen.to(target.device)
        expected, answer = target.detach()[chosen].double(), predicted.detach()[chosen].double()
        return cls(
            num_tokens=chosen.sum().cpu(),
            squared_error=(answer - expected).square().sum().cpu(),
            target=expected.sum(dim=0).cpu(),
            squared_target=expected.square().sum(dim=0).cpu(),
        )

    def __add__(self, other: "VarianceSums") -> "VarianceSums":
        """The sums over the tokens of both."""
        return VarianceSums(**{f.name: getattr(self, f.name) + getattr(other, f.name)
                             for f in fields(self)})  # fmt: skip

    @property
    def explained_variance(self) -> float:
        """1 - SSE / SST, SST taken around the mean target latent of all tokens summed here.

        1 is perfect, 0 as good as always answering the mean latent, below 0 worse than that. NaN
        where the targets do not vary: then there is nothing to explain.
        """
        about_zero = self.squared_target.sum()
        total = about_zero - (self.target.square() / self.num_tokens).sum()
        # below float64's rounding of the two sums the difference is noise, not variance
        if not total > 1e-10 * about_zero:
            return float("nan")
        return float(1 - self.squared_error / total)


def explained_variance(pairs: Iterable[LatentPair]) -> float:
    """The share of the target latents' variance that the predictions explain, over all pairs."""
    first, *rest = [VarianceSums.of(pair) for pair in pairs]
    return sum(rest, start=first).explained_variance


def copy_nearest_visible(
    latents: Float[Tensor, "b n d"], masks: Masks, grid: TokenGrid
) -> Float[Tensor, "b g m d"]:
    """For each target token the latent of the context token nearest to it on the grid.

    The baseline that knows the target encoder but predicts nothing. Distance is Euclidean in
    tokens of time, height and width; of equally near tokens the first in the context is taken.
    """
    place = token_places(grid).to(latents.device)
    valid = masks.context_valid
    copied = []
    for clip in range(len(latents)):  # all clips together would take gigabytes at long clips
        context = masks.context_index[clip]
        context = context if valid is None else context[valid[clip]]
        nearest = _nearest(place[masks.target_index[clip]], place[context])
        copied.append(latents[clip, context[nearest]])
    return torch.stack(copied)


def _nearest(targets: Int[Tensor, "g m 3"], context: Int[Tensor, "k 3"]) -> Int[Tensor, "g m"]:
    """Which context token is nearest to each target."""
    num_context, device = len(context), context.device
    distance = torch.zeros((*targets.shape[:2], num_context), dtype=torch.long, device=device)
    for target, seen in zip(targets.unbind(-1), context.unbind(-1), strict=True):
        distance += (target[..., None] - seen).square_()
    # argmin does not promise which of equal values it takes, so the order breaks ties itself
    return (distance * num_context + torch.arange(num_context, device=device)).argmin(dim=-1)


def token_places(grid: TokenGrid) -> Int[Tensor, "n 3"]:
    """The (time, height, width) place of each token id."""
    return torch.cartesian_prod(*(torch.arange(size) for size in grid))
