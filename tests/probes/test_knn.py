import pytest
import torch

from worldmodel_train.probes.knn import knn_accuracy


def _clusters(seed, per_class=20, width=6):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(per_class)
    centers = 4 * torch.eye(3, width)
    return centers[labels] + torch.randn(len(labels), width, generator=generator) * 0.3, labels


def test_separate_clusters_are_told_apart():
    assert knn_accuracy(*_clusters(0), *_clusters(1), k=5) == 1


def test_a_shared_offset_and_the_scale_of_a_dimension_change_nothing():
    (train, train_labels), (test, test_labels) = _clusters(0), _clusters(1)
    scale = torch.tensor([1.0, 100.0, 0.01, 1.0, 1.0, 1.0])
    accuracy = knn_accuracy(1e3 + train * scale, train_labels, 1e3 + test * scale, test_labels, k=5)
    assert accuracy == 1


def test_noise_gives_chance():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, 5, generator=generator)
    labels = torch.randint(0, 2, (600,), generator=generator)
    accuracy = knn_accuracy(features[:400], labels[:400], features[400:], labels[400:], k=10)
    assert 0.38 < accuracy < 0.62


def test_one_very_near_neighbour_outvotes_two_far_ones():
    train = torch.tensor([[1.0, 0.0], [-0.2, 1.0], [-0.3, 1.0], [0.0, -2.0]])
    labels = torch.tensor([0, 1, 1, 2])
    assert knn_accuracy(train, labels, train[:1], labels[:1], k=3) == 1


def test_more_neighbours_than_features_are_refused():
    features, labels = _clusters(0, per_class=2)
    with pytest.raises(ValueError, match="k=7"):
        knn_accuracy(features, labels, features, labels, k=7)
