"""Samples that follow each other are of one length, and all that holds of a mixture holds."""

import pickle
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.data.mixture import BLOCK, Mixture
from worldmodel_train.data.mixture_by_length import MixtureByLength, SpreadMixture

WEIGHTS, LENGTHS = [0.335, 0.1, 0.565, 1.0], [16, 64, 16, 1]


def mixture(together: int | dict[int, int] = 4, seed=3, of_runs: Any = SpreadMixture):
    """With `together` samples of each length in a run, or as many as it says of each."""
    each = dict.fromkeys(LENGTHS, together) if isinstance(together, int) else together
    return MixtureByLength(WEIGHTS, LENGTHS, together=each, of_runs=of_runs, seed=seed)


def numbers(mixed, runs):
    """Of all samples of the first runs."""
    return [number for run in range(runs) for number in mixed.samples(run)]


@pytest.mark.parametrize("together", [2, 4, 24])
def test_samples_that_belong_together_are_of_one_length_and_of_several_sources(together):
    mixed = mixture(together)
    drawn = [mixed.draw(number).source for number in range(200 * together)]
    runs = [drawn[i : i + together] for i in range(0, len(drawn), together)]
    assert all(len({LENGTHS[source] for source in run}) == 1 for run in runs)
    assert any({0, 2} == set(run) for run in runs)
    assert {LENGTHS[run[0]] for run in runs} == {1, 16, 64}


@pytest.mark.parametrize("together", [4, {16: 3, 64: 1, 1: 9}])
def test_shares_of_samples_are_those_of_the_weights_over_a_block_of_runs(together):
    mixed = mixture(together)
    drawn = Counter(mixed.draw(n).source for n in numbers(mixed, BLOCK))
    assert [drawn[source] / drawn.total() for source in range(4)] == pytest.approx(
        [weight / sum(WEIGHTS) for weight in WEIGHTS], abs=3e-3
    )


def test_a_run_has_as_many_samples_as_its_length_is_given():
    together = {16: 3, 64: 1, 1: 9}
    mixed = mixture(together)
    for run in range(100):
        lengths = {LENGTHS[mixed.draw(number).source] for number in mixed.samples(run)}
        assert len(lengths) == 1
        assert len(mixed.samples(run)) == together[lengths.pop()]


def test_two_halves_take_turns():
    mixed = MixtureByLength(
        [0.6, 0.4], [1, 16], together={1: 72, 16: 48}, of_runs=SpreadMixture, seed=3
    )
    assert [len(mixed.samples(run)) for run in range(6)] == [72, 48, 72, 48, 72, 48]
    assert [mixed.draw(mixed.samples(run).start).source for run in range(4)] == [0, 1, 0, 1]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    together=st.fixed_dictionaries(dict.fromkeys(set(LENGTHS), st.integers(1, 7))),
    runs=st.integers(1, 1500),
)
def test_each_source_is_read_position_after_position(seed, together, runs):
    mixed = mixture(together, seed)
    draws = [mixed.draw(n) for n in numbers(mixed, runs)]
    for source in range(len(WEIGHTS)):
        positions = [draw.position for draw in draws if draw.source == source]
        assert positions == list(range(len(positions)))


def test_a_draw_needs_no_history():
    mixed = mixture()
    forwards = [mixed.draw(sample) for sample in range(9000)]
    assert mixture().draw(8999) == forwards[8999]
    assert pickle.loads(pickle.dumps(mixed)).draw(8999) == forwards[8999]


def test_seeds_draw_sources_of_one_length_differently():
    mixtures = [mixture(seed=seed) for seed in (0, 1)]
    one, other = ([mixed.draw(n).source for n in range(400)] for mixed in mixtures)
    assert one != other
    assert [LENGTHS[source] for source in one] == [LENGTHS[source] for source in other]


def test_runs_may_be_drawn_so_that_no_stride_meets_one_length_alone():
    mixed = mixture(4, of_runs=partial(Mixture, seed=3))
    for stride in (2, 3, 8):
        for first in range(stride):
            met = {
                LENGTHS[mixed.draw(mixed.samples(run).start).source]
                for run in range(first, 3000, stride)
            }
            assert met == set(LENGTHS)
