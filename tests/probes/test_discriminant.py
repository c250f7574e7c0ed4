import pytest
import torch
from sklearn.covariance import oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn.functional import one_hot

from worldmodel_train.probes import discriminant
from worldmodel_train.probes.discriminant import Discriminant

CLASSES, WIDTH = 3, 20


def samples(number, seed=0):
    """Correlated features far from 0, whose first tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (number,), generator=generator)
    mixed = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(9))
    features = torch.randn(number, WIDTH, generator=generator) @ mixed + 5
    features[:, 0] += 6 * labels
    return features.double(), labels


def fitted(features, labels):
    nothing = Discriminant.of_nothing(CLASSES, features.shape[1], "cpu")
    return nothing.with_more(features, one_hot(labels, CLASSES).double())


def accuracy(probe, features, labels):
    return float((probe.scores(features).argmax(dim=1) == labels).double().mean())


def test_of_one_batch_it_is_shrunk_discriminant_analysis(monkeypatch):
    monkeypatch.setattr(discriminant, "_MEMORY", 1e12)
    features, labels = samples(60)
    tested, _ = samples(30, seed=1)
    center, scale = features.mean(dim=0), features.std(dim=0, correction=0)
    known, asked = ((part - center) / scale for part in (features, tested))
    within = known.clone()
    for number in range(CLASSES):
        within[labels == number] -= known[labels == number].mean(dim=0)
    _, share = oas(within.numpy(), assume_centered=True)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share)
    reference.fit(known.numpy(), labels.numpy())
    expected = torch.from_numpy(reference.decision_function(asked.numpy())).log_softmax(dim=1)
    found = fitted(features, labels).scores(tested).log_softmax(dim=1)
    assert 0.1 < share < 0.9
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_samples_in_two_parts_weigh_nearly_as_much_as_at_once():
    features, labels = samples(60)
    classes = one_hot(labels, CLASSES).double()
    parts = Discriminant.of_nothing(CLASSES, WIDTH, "cpu")
    for part in (slice(0, 30), slice(30, 60)):
        parts = parts.with_more(features[part], classes[part])
    assert parts.counts.sum() == pytest.approx(30 + 30 * (1 - 30 / 230))


def test_what_was_true_long_ago_is_forgotten():
    probe = fitted(*samples(200))
    for seed in range(1, 12):
        features, labels = samples(100, seed)
        probe = probe.with_more(features, one_hot((labels + 1) % CLASSES, CLASSES).double())
    features, labels = samples(200, 100)
    assert accuracy(probe, features, (labels + 1) % CLASSES) > 0.9


def test_features_of_few_directions_and_a_constant_one_are_no_harm():
    features, labels = samples(200)
    wide = torch.randn(2, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    informed = torch.stack((labels.double(), features[:, 1]), dim=1) @ wide
    informed[:, 5] = 1.0
    probe = fitted(informed[:100], labels[:100])
    assert accuracy(probe, informed[100:], labels[100:]) > 0.95


def test_a_class_that_never_was_is_impossible_and_one_sample_is_enough_to_begin():
    features, labels = samples(10)
    probe = fitted(features[:1], labels[:1])
    assert not probe.scores(features).isnan().any()
    assert (probe.scores(features).argmax(dim=1) == labels[0]).all()
