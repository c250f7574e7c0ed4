import pytest

from benchmarks.learning.sparse_autoencoder import (
    ACTIVATIONS,
    Truth,
    first_directions,
    learn,
    principal_components,
)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.name)
def test_96_directions_in_32_channels_are_found(activation):
    found = learn(activation, seed=0, steps=500)
    assert found.cosine >= 0.95
    assert found.explained_variance > 0.8
    assert found.active == pytest.approx(3, abs=0.3)


def test_neither_principal_components_nor_chance_find_them():
    truth = Truth.drawn(0)
    assert truth.nearest_cosine(principal_components(0)) < 0.5
    assert truth.nearest_cosine(first_directions(0)) < 0.6
