import numpy as np

from worldmodel_train.masks.counter_random import stream, uniforms


def test_numbers_are_uniform():
    draws = uniforms(stream("test", 0), np.arange(1000)[:, None], np.arange(100))
    counts, _ = np.histogram(draws, bins=50, range=(0.0, 1.0))
    assert draws.min() >= 0
    assert draws.max() < 1
    assert ((counts - 2000) ** 2 / 2000).sum() < 85.4  # chi-square, 49 degrees, p = 0.001


def test_neighbouring_counters_are_uncorrelated():
    draws = uniforms(stream("test", 0), np.arange(4000)[:, None], np.arange(2))
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.06
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.06


def test_swapped_counters_and_other_keys_give_other_numbers():
    one = uniforms(stream("a", 1), np.array([1]), np.array([2]))
    assert one != uniforms(stream("a", 1), np.array([2]), np.array([1]))
    assert one != uniforms(stream("b", 1), np.array([1]), np.array([2]))
    assert one != uniforms(stream("a", 2), np.array([1]), np.array([2]))


def test_numbers_do_not_change_between_versions():
    """A resumed run must draw what it would have drawn; this pins the hash."""
    draw = uniforms(stream("place", 0), np.array([12345]), np.array([3]))
    assert draw.tolist() == [0.2102085144334842]
