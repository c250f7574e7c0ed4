"""Whether predicted variances are what errors are, on clips that nothing was fitted to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, pi

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.latents.losses import Batches
from worldmodel_train.protocols import PredictsGaussians
from worldmodel_train.types import Content, GaussianPair, MaskedClips

INTERVALS: Mapping[int, float] = {50: 0.67448975, 90: 1.64485363}
"""Half the width of the middle interval with so many percent of a Gaussian, in deviations."""
TOKENS_OF_A_BATCH = 1024
"""Most that are looked at of each mask group, spread evenly."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The latents of many tokens, and the Gaussians that were said of them."""

    target: Float[Tensor, "p d"]
    mean: Float[Tensor, "p d"]
    log_variance: Float[Tensor, "p d"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well Gaussians fit what they are of."""

    inside: Mapping[int, float]
    """Share of the numbers in the middle 50 and 90 percent of their Gaussians."""
    squares: float
    """Mean of (error / deviation)^2, which is 1 where variances are right."""
    surprise: float
    """Mean -log density, in nats for each number."""
    told: float
    """Rank correlation of the mean variance of a token with its mean squared error."""


@dataclass(frozen=True, kw_only=True)
class Calibrations:
    """Of what a model predicts, and of two rules that were fitted to other clips."""

    predicted: Calibration
    constant: Calibration
    """The same means, with the mean squared error of each number of a latent as its variance."""
    targets: Calibration
    """Mean and variance of the targets themselves: knows nothing of a clip."""


def measure_calibration(model: PredictsGaussians, batches: Batches, seed: int) -> Calibrations:
    """Scored on every second batch; rules are fitted to the others."""
    with frozen(model) as device:
        said = [joined(_pairs(model, content, device)) for _, content in batches.of(seed)]
    if len(said) < 2:
        raise ValueError("calibration: one clip cannot be fitted to and scored; hold out more")
    fitted, scored = (_together(said[first::2]) for first in (0, 1))
    return Calibrations(
        predicted=calibration(scored),
        constant=calibration(_constant(fitted, scored)),
        targets=calibration(_of_targets(fitted, scored)),
    )


def calibration(one: Predictions) -> Calibration:
    """How well these fit."""
    error, variance = one.target - one.mean, one.log_variance.exp()
    squares = error.square() / variance
    nats = 0.5 * (squares + one.log_variance + log(2 * pi))
    return Calibration(
        inside={
            percent: float((squares <= reach**2).double().mean())
            for percent, reach in INTERVALS.items()
        },
        squares=float(squares.double().mean()),
        surprise=float(nats.double().mean()),
        told=_rank_correlation(variance.mean(dim=1), error.square().mean(dim=1)),
    )


def joined(pairs: Iterator[GaussianPair]) -> Predictions:
    """The tokens of all pairs that count, or so many of each pair, on the CPU."""
    parts: dict[str, list[Tensor]] = {"target": [], "mean": [], "log_variance": []}
    for pair in pairs:
        rows = _rows(pair)
        for name, tensor in zip(
            parts, (pair.target, pair.predicted, pair.log_variance), strict=True
        ):
            parts[name].append(tensor.flatten(0, 2)[rows].float().cpu())
    return Predictions(**{name: torch.cat(tensors) for name, tensors in parts.items()})


def _together(parts: Sequence[Predictions]) -> Predictions:
    return Predictions(
        target=torch.cat([part.target for part in parts]),
        mean=torch.cat([part.mean for part in parts]),
        log_variance=torch.cat([part.log_variance for part in parts]),
    )


def _pairs(
    model: PredictsGaussians, content: Content, device: torch.device
) -> Iterator[GaussianPair]:
    assert isinstance(content, MaskedClips), "its preparation draws masks"
    for group in content.groups:
        yield from model.predict_gaussians(group.map(lambda tensor: tensor.to(device)))


def _rows(pair: GaussianPair) -> Tensor:
    total = pair.target[..., 0].numel()
    rows = torch.arange(total) if pair.valid is None else pair.valid.flatten().nonzero()[:, 0]
    taken = min(len(rows), TOKENS_OF_A_BATCH)
    return rows[torch.arange(taken) * len(rows) // taken].to(pair.target.device)


def _constant(fitted: Predictions, scored: Predictions) -> Predictions:
    errors = (fitted.target - fitted.mean).square().mean(dim=0)
    return replace(scored, log_variance=errors.log().expand_as(scored.mean))


def _of_targets(fitted: Predictions, scored: Predictions) -> Predictions:
    mean, variance = fitted.target.mean(dim=0), fitted.target.var(dim=0)
    return Predictions(
        target=scored.target,
        mean=mean.expand_as(scored.mean),
        log_variance=variance.log().expand_as(scored.mean),
    )


def _rank_correlation(one: Float[Tensor, " p"], other: Float[Tensor, " p"]) -> float:
    """Spearman's; 0 where one of them is the same everywhere."""
    if (one == one[0]).all() or (other == other[0]).all():
        return 0.0
    ranks: Sequence[Tensor] = [values.argsort().argsort().double() for values in (one, other)]
    return float(torch.corrcoef(torch.stack(list(ranks)))[0, 1])
