"""Features against events that are known."""

import numpy as np
import pytest

from worldmodel_train.cartography.event_alignment import areas, around, luckiest_area

EVENT = np.random.default_rng(0).random((100, 4)) < 0.3
NOISE = np.random.default_rng(1).normal(size=(100, 4))


def test_a_feature_that_is_the_event_has_area_one_and_its_opposite_none():
    features = np.stack((EVENT, ~EVENT, np.zeros_like(EVENT), NOISE), axis=2).astype(float)
    found = areas(features, EVENT)
    assert found[:3].tolist() == [1, 0, 0.5]
    assert found[3] == pytest.approx(0.5, abs=0.08)


def test_an_event_that_never_is_has_no_area():
    assert np.isnan(areas(NOISE[..., None], np.zeros_like(EVENT))).all()


def test_the_best_of_many_by_luck_is_above_half_and_below_the_event_itself():
    features = np.concatenate(
        (EVENT[..., None], np.random.default_rng(2).normal(size=(100, 4, 50))), axis=2
    )
    assert 0.5 < luckiest_area(features, EVENT, rounds=3, seed=0) < 0.7


def test_means_are_taken_at_their_distance_from_the_event():
    values = np.array([[1.0, 5.0, 2.0, 9.0]])
    event = np.array([[False, True, False, False]])
    curve = around(values, event, 2)
    assert np.isnan(curve[0])
    assert curve[1:].tolist() == [1, 5, 2, 9]
