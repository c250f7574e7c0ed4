"""Classifies by a linear map of the features."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

# From nearly none to strong, for standardised features; fixed, so that no probe gets a finer search
RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4)
_CHOOSING_SHARE = 0.25
_SPLIT_SEED = 0


def linear_accuracy(
    train: Float[Tensor, "p d"],
    train_labels: Int[Tensor, "p"],
    test: Float[Tensor, "q d"],
    test_labels: Int[Tensor, "q"],
) -> float:
    """The share of test labels that ridge regression onto one-hot labels names rightly.

    Features are standardised by the training part, in float64: least squares on the rank-deficient
    features of a young encoder is unstable otherwise. The penalty is chosen on a quarter of the
    training part, then the probe is fitted again on all of it.
    """
    features, labels = train.double().cpu().numpy(), train_labels.cpu().numpy()
    probe = _ridge(_choose_penalty(features, labels)).fit(features, labels)
    return float(probe.score(test.double().cpu().numpy(), test_labels.cpu().numpy()))


def _choose_penalty(features: np.ndarray, labels: np.ndarray) -> float:
    """The penalty that does best on a quarter of the data, the strongest of equals."""
    fit_x, choose_x, fit_y, choose_y = train_test_split(
        features, labels, test_size=_CHOOSING_SHARE, stratify=labels, random_state=_SPLIT_SEED
    )
    scores = {
        penalty: _ridge(penalty).fit(fit_x, fit_y).score(choose_x, choose_y)
        for penalty in RIDGE_PENALTIES
    }
    return max(scores, key=lambda penalty: (scores[penalty], penalty))


def _ridge(penalty: float) -> Pipeline:
    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
