"""Classifies by the nearest neighbours' labels."""

import torch
from jaxtyping import Float, Int
from numpy import exp, ndarray
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

_TEMPERATURE = 0.07


def knn_accuracy(
    train: Float[Tensor, "p d"],
    train_labels: Int[Tensor, "p"],
    test: Float[Tensor, "q d"],
    test_labels: Int[Tensor, "q"],
    k: int,
) -> float:
    """The share of test labels that `k` weighted votes by cosine similarity name rightly."""
    return float((knn_labels(train, train_labels, test, k) == test_labels.cpu()).double().mean())


def knn_labels(
    train: Float[Tensor, "p d"], train_labels: Int[Tensor, "p"], test: Float[Tensor, "q d"], k: int
) -> Int[Tensor, "q"]:
    """The label of each test clip by `k` weighted votes.

    Source: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance
    discrimination", section 3.4: a vote weighs exp(cosine / 0.07). Features are standardised by the
    training part first, or a mean shared by all would make every cosine nearly one.
    """
    if k > len(train):
        raise ValueError(f"k={k} neighbours from {len(train)} training features; use a smaller k")
    votes = KNeighborsClassifier(
        k,
        weights=_vote_weights,  # pyright: ignore[reportArgumentType] -- its default is a string
        metric="cosine",
        algorithm="brute",
    )
    probe = make_pipeline(StandardScaler(), votes)
    probe.fit(train.double().cpu().numpy(), train_labels.cpu().numpy())
    return torch.from_numpy(probe.predict(test.double().cpu().numpy()))


def _vote_weights(distance: ndarray) -> ndarray:
    return exp((1 - distance) / _TEMPERATURE)
