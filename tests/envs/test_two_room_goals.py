import numpy as np
import pytest

from worldmodel_train.envs.disc_rooms import Layout, free
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.two_room_goals import TwoRoomGoals


@pytest.fixture
def world():
    return TwoRoomGoals(size=16)


@pytest.fixture
def pairs(world):
    return world.draw_pairs(np.random.default_rng(0), 200)


def follow(world, rule, states, goals, *, actions):
    for _ in range(actions):
        there = world.reached(states, goals)
        states = np.where(there[:, None], states, world.move(states, rule(states, goals)))
    return world.reached(states, goals)


def test_it_is_a_world_of_goals_that_touch_nothing(world, pairs):
    assert isinstance(world, GoalWorld)
    assert all(free(places, world.layout).all() for places in pairs)
    assert world.pictures(pairs[0]).shape == (200, 16, 16, 3)


@pytest.mark.parametrize("door", [0.2, 0.5, 0.8])
def test_the_expert_reaches_every_goal_wherever_the_door_is(door):
    world = TwoRoomGoals(size=16, layout=Layout(door=door))
    starts, goals = world.draw_pairs(np.random.default_rng(0), 200)
    assert follow(world, world.rules()["expert"], starts, goals, actions=40).all()


def test_the_straight_way_reaches_all_goals_of_a_room_and_some_of_the_other(world, pairs):
    across = world.kinds(*pairs)["through the door"]
    reached = follow(world, world.rules()["straight line"], *pairs, actions=40)
    assert reached[~across].all()
    assert 0 < reached[across].mean() < 0.9
    assert 0.3 < across.mean() < 0.7


def test_an_action_is_straight_and_within_bounds(world):
    action = world.rules()["straight line"](np.array([[0.2, 0.2]]), np.array([[0.8, 0.5]]))
    np.testing.assert_allclose(action, [[1.0, 0.5]])


def test_a_goal_is_reached_within_its_reach_alone(world):
    goal = np.array([[0.2, 0.2]])
    assert world.reached(np.array([[0.2, 0.249]]), goal).tolist() == [True]
    assert world.reached(np.array([[0.2, 0.251]]), goal).tolist() == [False]
