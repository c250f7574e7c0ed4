"""gymnasium's own Pendulum-v1, as its simulator moves and draws it."""

import numpy as np
import pytest

from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.world import View
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.pendulum_goals import PendulumGoals


@pytest.fixture(scope="module")
def pendulum():
    pytest.importorskip("pygame", reason="the extra envs is not installed")
    return PendulumGoals(size=32)


@pytest.fixture
def pairs(pendulum):
    return pendulum.draw_pairs(np.random.default_rng(0), 20)


def states_of(world):
    return np.array([[*world.env.state, world.env.last_u or 0.0]])


def test_pendulums_move_and_look_as_in_episodes_that_are_collected(pendulum):
    assert isinstance(pendulum, GoalWorld)
    world = open_world("Pendulum-v1", View(see="pixels", size=32))
    seen, rng = [world.reset(3)], np.random.default_rng(0)
    states = states_of(world)
    for _ in range(5):
        np.testing.assert_array_equal(pendulum.pictures(states)[0], seen[-1])
        action = rng.uniform(-1, 1, (1, 1)).astype(np.float32)
        seen.append(world.step(action[0]).observation)
        states = pendulum.move(states, action.astype(np.float64))
        # the environment takes torques in fp32
        np.testing.assert_allclose(states, states_of(world), atol=1e-6)
    assert not np.array_equal(seen[0], seen[-1])


def test_many_move_as_each_does_alone(pendulum, pairs):
    states, _ = pairs
    actions = np.random.default_rng(1).uniform(-1.5, 1.5, (20, 1))
    together = pendulum.move(states, actions)
    for number in range(20):
        alone = pendulum.move(states[number, None], actions[number, None])
        np.testing.assert_array_equal(alone[0], together[number])


def reached_by(pendulum, rule, pairs):
    states, goals = pairs
    reached = pendulum.reached(states, goals)
    for _ in range(120):
        states = pendulum.move(states, rule(states, goals))
        reached |= pendulum.reached(states, goals)
    return reached


def test_from_below_only_who_swings_gets_to_the_top(pendulum, pairs):
    (below,) = pendulum.kinds(*pairs).values()
    assert 5 < below.sum() < 15
    assert reached_by(pendulum, pendulum.expert, pairs).all()
    assert not reached_by(pendulum, pendulum.straight, pairs)[below].any()


def test_the_expert_leaves_rest_at_the_bottom(pendulum):
    at_rest, goal = np.array([[np.pi, 0.0, 0.0]]), np.zeros((1, 3))
    assert reached_by(pendulum, pendulum.expert, (at_rest, goal)).all()


def test_a_goal_is_upright_and_slow(pendulum):
    for angle, speed, reached in (
        (0.1, 0.9, True),
        (2 * np.pi - 0.1, -0.9, True),
        (0.3, 0.0, False),
        (0.0, 1.1, False),
        (np.pi, 0.0, False),
    ):
        state = np.array([[angle, speed, 2.0]])
        assert pendulum.reached(state, np.zeros((1, 3)))[0] == reached, (angle, speed)


def test_an_option_that_it_does_not_take_is_refused():
    with pytest.raises(WorldError, match=r"^Pendulum-v1 with options .*length"):
        PendulumGoals(size=32, options={"length": 2})
