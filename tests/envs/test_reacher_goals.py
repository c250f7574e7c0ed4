"""The arm of gymnasium's own Reacher-v5, as its simulator moves and draws it."""

import sys

import gymnasium
import numpy as np
import pytest

from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.world import View
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.reacher_goals import ReacherGoals

OPTIONS = {"hide": ["target"], "width": 32, "height": 32}


@pytest.fixture(scope="module")
def arm():
    pytest.importorskip("mujoco", reason="the extra envs is not installed")
    try:
        return ReacherGoals(size=32, options=OPTIONS)
    except WorldError as error:
        pytest.skip(f"MuJoCo finds no GL on this machine: {error}")


@pytest.fixture
def pairs(arm):
    return arm.draw_pairs(np.random.default_rng(0), 20)


def states_of(world):
    data = world.env.data
    return np.concatenate((data.qpos[:2], data.qvel[:2]))[None]


def test_arms_move_and_look_as_in_episodes_that_are_collected(arm):
    assert isinstance(arm, GoalWorld)
    world = open_world("Reacher-v5", View(see="pixels", size=32), OPTIONS)
    seen, rng = [world.reset(3)], np.random.default_rng(0)
    states = states_of(world)
    for _ in range(5):
        np.testing.assert_array_equal(arm.pictures(states)[0], seen[-1])
        action = rng.uniform(-1, 1, (1, 2)).astype(np.float32)
        seen.append(world.step(action[0]).observation)
        states = arm.move(states, action.astype(np.float64))
        # what the simulator's solver begins from is no part of the state
        np.testing.assert_allclose(states, states_of(world), atol=1e-6)
    assert not np.array_equal(seen[0], seen[-1])


def test_the_ball_is_not_seen(arm):
    view = View(see="pixels", size=32)
    first, second = (open_world("Reacher-v5", view, OPTIONS).env for _ in range(2))
    for env, ball in ((first, 0.1), (second, -0.1)):
        env.set_state(np.array([0.5, 0.5, ball, ball]), np.zeros(4))
    np.testing.assert_array_equal(first.render(), second.render())


def test_the_expert_reaches_all_goals_and_who_does_nothing_none(arm, pairs):
    states, goals = pairs
    assert not arm.reached(states, goals).any()
    reached = np.zeros(len(goals), bool)
    for _ in range(25):
        states = arm.move(states, arm.expert(states, goals))
        reached |= arm.reached(states, goals)
    assert reached.all()


def test_a_goal_is_both_angles_the_first_by_the_shorter_way(arm):
    goal = np.array([[3.1, 1.0, 0.0, 0.0]])
    for angles, reached in (
        ((3.1, 1.0), True),
        ((-3.1, 1.1), True),
        ((9.4, 1.0), True),
        ((3.1, 1.3), False),
        ((2.8, 1.0), False),
    ):
        state = np.array([[*angles, 5.0, -5.0]])
        assert arm.reached(state, goal)[0] == reached, angles
    np.testing.assert_allclose(arm.places(goal + np.array([2 * np.pi, 0, 1, 1])), arm.places(goal))


def test_far_goals_are_counted_by_themselves(arm):
    starts, goals = np.zeros((2, 4)), np.array([[2.0, 0, 0, 0], [1.0, -1.0, 0, 0]])
    (far,) = arm.kinds(starts, goals).values()
    assert far.tolist() == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hide": ["ball"]}, r"^Reacher-v5 has no geom hide=.*ball.*; it has ground, .*target$"),
        ({"gravity": 0}, r"^Reacher-v5 with options .*gravity"),
    ],
)
def test_options_that_it_does_not_take_are_refused(arm, options, message):
    with pytest.raises(WorldError, match=message):
        ReacherGoals(size=32, options=options)


def test_geoms_are_hidden_of_worlds_of_mujoco_alone():
    with pytest.raises(WorldError, match=r"^Pendulum-v1 is no world of MuJoCo, whose geoms hide="):
        open_world("Pendulum-v1", View(see="pixels", size=32), {"hide": ["target"]})


def test_without_mujoco_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert "Reacher-v5" in gymnasium.registry
    with pytest.raises(WorldError, match=r"^Reacher-v5: MuJoCo is not installed, run `pip install"):
        ReacherGoals(size=32)
