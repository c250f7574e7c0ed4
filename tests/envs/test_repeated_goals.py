import numpy as np
import pytest

from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.repeated_goals import RepeatedGoals
from worldmodel_train.envs.two_room_goals import TwoRoomGoals

ONE = TwoRoomGoals(size=16)
THREE = RepeatedGoals(world=ONE, times=3)


@pytest.fixture
def pairs():
    return THREE.draw_pairs(np.random.default_rng(0), 5)


def test_an_action_is_several_of_the_world_one_after_another(pairs):
    assert isinstance(THREE, GoalWorld)
    assert THREE.action_width() == 6
    starts, _ = pairs
    actions = np.random.default_rng(1).uniform(-1, 1, (5, 6))
    states = starts
    for first in (0, 2, 4):
        states = ONE.move(states, actions[:, first : first + 2])
    np.testing.assert_array_equal(THREE.move(starts, actions), states)


def test_a_rule_looks_after_each_action_of_the_world(pairs):
    starts, goals = pairs
    states = starts
    for _ in range(3):
        states = ONE.move(states, ONE.expert(states, goals))
    rules = THREE.rules()
    assert list(rules) == list(ONE.rules())
    moved = THREE.move(starts, rules["expert"](starts, goals))
    np.testing.assert_array_equal(moved, states)


def test_all_else_is_the_worlds(pairs):
    starts, goals = pairs
    np.testing.assert_array_equal(THREE.pictures(starts), ONE.pictures(starts))
    np.testing.assert_array_equal(THREE.places(starts), starts)
    assert THREE.reached(goals, goals).all()
    assert list(THREE.kinds(starts, goals)) == ["through the door"]
