"""Samples that follow each other are of one length, and all that holds of a mixture holds."""

import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.mixture import BLOCK
from worldmodel_train.data.mixture_by_length import MixtureByLength

WEIGHTS, LENGTHS = [0.335, 0.1, 0.565, 1.0], [16, 64, 16, 1]


def mixture(together=4, seed=3):
    return MixtureByLength(WEIGHTS, LENGTHS, together=together, seed=seed)


@pytest.mark.parametrize("together", [2, 4, 24])
def test_samples_that_belong_together_are_of_one_length_and_of_several_sources(together):
    mixed = mixture(together)
    drawn = [mixed.draw(number).source for number in range(200 * together)]
    runs = [drawn[i : i + together] for i in range(0, len(drawn), together)]
    assert all(len({LENGTHS[source] for source in run}) == 1 for run in runs)
    assert any({0, 2} == set(run) for run in runs)
    assert {LENGTHS[run[0]] for run in runs} == {1, 16, 64}


def test_shares_are_those_of_the_weights_over_a_block_of_runs():
    together, mixed = 4, mixture(together=4)
    drawn = Counter(mixed.draw(n).source for n in range(BLOCK * together))
    assert [drawn[source] / BLOCK / together for source in range(4)] == pytest.approx(
        [weight / sum(WEIGHTS) for weight in WEIGHTS], abs=2e-3
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), together=st.integers(1, 7), samples=st.integers(1, 4000))
def test_each_source_is_read_position_after_position(seed, together, samples):
    mixed = mixture(together, seed)
    draws = [mixed.draw(n) for n in range(samples)]
    for source in range(len(WEIGHTS)):
        positions = [draw.position for draw in draws if draw.source == source]
        assert positions == list(range(len(positions)))


def test_a_draw_needs_no_history():
    mixed = mixture()
    forwards = [mixed.draw(sample) for sample in range(9000)]
    assert mixture().draw(8999) == forwards[8999]
    assert pickle.loads(pickle.dumps(mixed)).draw(8999) == forwards[8999]


def test_seeds_draw_lengths_differently():
    mixtures = [mixture(seed=seed) for seed in (0, 1)]
    one, other = ([mixed.draw(4 * n).source for n in range(100)] for mixed in mixtures)
    assert one != other
