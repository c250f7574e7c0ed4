import torch

from worldmodel_train.probes.linear import linear_accuracy


def _halves(features, labels):
    half = len(labels) // 2
    return features[:half], labels[:half], features[half:], labels[half:]


def test_a_linear_label_is_read_off_whatever_the_scale_of_the_features():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 6, generator=generator)
    labels = (features @ torch.tensor([1.0, -2.0, 0.5, 0, 0, 0]) > 0).long()
    scale = torch.tensor([1e-4, 1e4, 1.0, 1.0, 1.0, 1.0])
    assert linear_accuracy(*_halves(features * scale + 50, labels)) > 0.93


def test_rank_deficient_features_are_stable():
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(200, 2, generator=generator)
    features = signal @ torch.randn(2, 300, generator=generator)
    features[:, 5] = 1.0
    labels = (signal[:, 0] > 0).long()
    assert linear_accuracy(*_halves(features, labels)) > 0.9


def test_noise_gives_chance_however_wide_it_is():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 500, generator=generator)
    labels = torch.randint(0, 2, (400,), generator=generator)
    assert 0.36 < linear_accuracy(*_halves(features, labels)) < 0.64


def test_the_test_labels_do_not_choose_the_penalty():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 20, generator=generator)
    labels = torch.randint(0, 2, (200,), generator=generator)
    train, train_labels, test, test_labels = _halves(features, labels)
    accuracy = linear_accuracy(train, train_labels, test, test_labels)
    assert accuracy + linear_accuracy(train, train_labels, test, 1 - test_labels) == 1
