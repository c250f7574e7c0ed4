"""How features go with events: areas under ROC curves, and means around the moments."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.stats import rankdata


def areas(features: Float[ndarray, "v t f"], event: Bool[ndarray, "v t"]) -> Float[ndarray, " f"]:
    """Of each feature the chance that it is higher at an event than at another moment.

    1/2 counts for what is equal; NaN where the event never is, or always.
    """
    ranks = rankdata(features.reshape(-1, features.shape[2]), axis=0)
    happens = event.ravel()
    many, others = int(happens.sum()), int((~happens).sum())
    if not many or not others:
        return np.full(features.shape[2], np.nan)
    return (ranks[happens].sum(axis=0) - many * (many + 1) / 2) / (many * others)


def luckiest_area(
    features: Float[ndarray, "v t f"], event: Bool[ndarray, "v t"], *, rounds: int, seed: int
) -> float:
    """The highest area over all features if videos are given each other's events; mean of rounds.

    What the best of so many features reaches by luck.
    """
    generator = np.random.default_rng(seed)
    best = [areas(features, generator.permutation(event)).max() for _ in range(rounds)]
    return float(np.mean(best))


def around(
    values: Float[ndarray, "v t"], event: Bool[ndarray, "v t"], reach: int
) -> Float[ndarray, " window"]:
    """Mean of `values` from `reach` moments before an event to as many after; NaN where none is."""
    videos, moments = np.nonzero(event)
    means = np.full(2 * reach + 1, np.nan)
    for place, distance in enumerate(range(-reach, reach + 1)):
        inside = (moments + distance >= 0) & (moments + distance < values.shape[1])
        if inside.any():
            means[place] = values[videos[inside], moments[inside] + distance].mean()
    return means
