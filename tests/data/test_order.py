import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.order import Permutation

KEYS = st.integers(0, 2**64 - 1)


@given(n=st.integers(1, 700), key=KEYS)
def test_every_element_appears_once(n, key):
    assert sorted(Permutation(n, key).many(np.arange(n))) == list(range(n))


@given(n=st.integers(1, 2**40), key=KEYS, position=st.integers(0, 2**40))
def test_one_position_agrees_with_many_and_stays_inside(n, key, position):
    permutation = Permutation(n, key)
    element = permutation(position % n)
    assert 0 <= element < n
    assert permutation.many(np.array([position % n, 0]))[0] == element


def test_keys_give_different_orders_and_the_same_key_the_same():
    order = Permutation(1000, 1).many(np.arange(1000))
    assert (order == Permutation(1000, 1).many(np.arange(1000))).all()
    assert (order == Permutation(1000, 2).many(np.arange(1000))).mean() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 50, 1000])
def test_each_element_is_equally_likely_in_each_place(n):
    firsts = [Permutation(n, key)(0) for key in range(2000)]
    counts = np.bincount(np.array(firsts) * 5 // n, minlength=5)
    assert np.abs(counts - 400).max() < 100


def test_an_order_over_a_trillion_samples_takes_no_memory():
    assert 0 <= Permutation(10**12, 3)(10**12 - 1) < 10**12


def test_an_empty_order_is_refused():
    with pytest.raises(ValueError, match="n=0"):
        Permutation(0, 1)
