"""Transitions of chains that are known."""

import numpy as np
import pytest

from worldmodel_train.cartography.transitions import (
    moves,
    predictability,
    transition_counts,
    transition_shares,
)


def test_a_cycle_is_followed_with_certainty():
    counts = transition_counts(np.array([[0, 1, 2, 0], [1, 2, 0, 1]]), 3)
    assert counts.tolist() == [[0, 2, 0], [0, 0, 2], [2, 0, 0]]
    assert predictability(counts) == 1


def test_no_video_leads_into_the_next():
    assert transition_counts(np.array([[0, 0], [1, 1]]), 2).tolist() == [[1, 0], [0, 1]]


def test_the_shares_of_a_known_chain_are_found():
    chain = np.array([[0.5, 0.5, 0.0], [0.1, 0.0, 0.9], [1.0, 0.0, 0.0]])
    generator = np.random.default_rng(0)
    states = [0]
    for _ in range(20_000):
        states.append(int(generator.choice(3, p=chain[states[-1]])))
    found = transition_shares(transition_counts(np.array([states]), 3))
    np.testing.assert_allclose(found, chain, atol=0.02)


def test_what_stays_is_no_move_and_what_nothing_follows_has_no_share():
    counts = transition_counts(np.array([[0, 0, 1]]), 2)
    assert moves(counts).tolist() == [[0, 1], [0, 0]]
    assert transition_shares(counts).tolist() == [[0.5, 0.5], [0, 0]]
    assert predictability(counts) == pytest.approx(0.5)
