"""Known states are read from features that hold them, and from no others."""

import numpy as np
import pytest

from worldmodel_train.probes.states import KnownState, state_scores

VIDEOS, MOMENTS = 120, 4


@pytest.fixture(scope="module")
def states():
    generator = np.random.default_rng(0)
    return (
        KnownState(name="hit", kind="event", values=generator.random((VIDEOS, MOMENTS)) < 0.3),
        KnownState(name="way", kind="class", values=generator.integers(4, size=(VIDEOS, MOMENTS))),
        KnownState(name="place", kind="value", values=generator.random((VIDEOS, MOMENTS, 2))),
    )


def test_what_features_hold_is_read_whole(states):
    features = np.concatenate([state.targets for state in states], axis=2)
    scores = state_scores(features, states, splits=2)
    assert all(len(found) == 2 for found in scores.values())
    assert min(min(found) for found in scores.values()) > 0.99


def test_what_features_do_not_hold_is_read_at_chance(states):
    features = np.random.default_rng(1).normal(size=(VIDEOS, MOMENTS, 5))
    scores = state_scores(features, states, splits=3)
    assert np.mean(scores["hit"]) == pytest.approx(0.5, abs=0.12)
    assert np.mean(scores["way"]) == pytest.approx(0.25, abs=0.12)
    assert np.mean(scores["place"]) == pytest.approx(0, abs=0.1)


def test_states_of_other_videos_are_read_at_chance(states):
    features = np.concatenate([state.targets for state in states], axis=2)
    scores = state_scores(features, states, splits=3, shuffled=True)
    assert np.mean(scores["hit"]) == pytest.approx(0.5, abs=0.12)
    assert np.mean(scores["way"]) == pytest.approx(0.25, abs=0.12)


def test_chance_is_the_most_frequent_class():
    state = KnownState(name="way", kind="class", values=np.array([[0, 0, 1, 0]]))
    assert state.chance == 0.75
