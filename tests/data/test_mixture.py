import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.mixture import BLOCK, Mixture, block_counts

WEIGHTS = st.lists(st.floats(0.1, 1.0), min_size=1, max_size=12)


@given(weights=WEIGHTS)
def test_block_counts_add_up_and_no_source_is_lost(weights):
    counts = block_counts(weights)
    assert sum(counts) == BLOCK
    assert min(counts) >= 1


def test_block_counts_of_published_weights_are_exact():
    assert block_counts([0.335, 0.1, 0.565]) == (335, 100, 565)


@settings(max_examples=20, deadline=None)
@given(weights=WEIGHTS, seed=st.integers(0, 2**32), blocks=st.integers(1, 3))
def test_each_source_is_read_position_after_position(weights, seed, blocks):
    mixture = Mixture(weights, seed)
    draws = [mixture.draw(sample) for sample in range(blocks * BLOCK)]
    for source, count in enumerate(block_counts(weights)):
        positions = [draw.position for draw in draws if draw.source == source]
        assert positions == list(range(blocks * count))


def test_a_draw_needs_no_history():
    mixture = Mixture([3.0, 1.0], seed=5)
    forwards = [mixture.draw(sample) for sample in range(2500)]
    assert Mixture([3.0, 1.0], seed=5).draw(2499) == forwards[2499]
    assert pickle.loads(pickle.dumps(mixture)).draw(2499) == forwards[2499]


def test_seeds_shuffle_the_sources_differently():
    a, b = ([Mixture([1.0, 1.0], s).draw(i).source for i in range(200)] for s in (0, 1))
    assert a != b


def test_more_sources_than_a_block_holds_are_refused():
    with pytest.raises(ValueError, match=r"data\.sources"):
        block_counts([1.0] * (BLOCK + 1))


@pytest.mark.parametrize("weights", [[1.0, 1e-4], [1.0, 1.0, 0.003]])
def test_a_share_that_rounding_would_change_is_refused(weights):
    source = len(weights) - 1
    with pytest.raises(ValueError, match=rf"data\.sources\[{source}\] has a share of") as error:
        block_counts(weights)
    smallest = sum(weights[:-1]) / (BLOCK - 1)
    assert f"smallest weight possible beside the others is {smallest:.3g}" in str(error.value)
    assert block_counts([*weights[:-1], smallest])[-1] == 1
