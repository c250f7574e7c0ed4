"""Classifies by a linear map of the features."""

import torch
from jaxtyping import Float, Int
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

# From weak to strong for standardised features; fixed, so that no features get a finer search
RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4)


def linear_accuracy(
    train: Float[Tensor, "p d"],
    train_labels: Int[Tensor, "p"],
    test: Float[Tensor, "q d"],
    test_labels: Int[Tensor, "q"],
) -> float:
    """The share of test labels that ridge regression onto one-hot labels names rightly."""
    return float((linear_labels(train, train_labels, test) == test_labels.cpu()).double().mean())


def linear_labels(
    train: Float[Tensor, "p d"], train_labels: Int[Tensor, "p"], test: Float[Tensor, "q d"]
) -> Int[Tensor, "q"]:
    """The label of each test clip by ridge regression onto one-hot labels.

    Features are standardised by the training part, in float64: least squares on the rank-deficient
    features of a young encoder is unstable otherwise. The penalty is the one that names most of the
    training part rightly when each of its clips is left out in turn.
    """
    ridge = RidgeClassifierCV(alphas=RIDGE_PENALTIES, scoring="accuracy")
    probe = make_pipeline(StandardScaler(), ridge)
    probe.fit(train.double().cpu().numpy(), train_labels.cpu().numpy())
    return torch.from_numpy(probe.predict(test.double().cpu().numpy()))
