"""Each world that the task names is made, and is acted in as the task says."""

from importlib.util import find_spec
from typing import get_args

import numpy as np
import pytest

from worldmodel_train.envs.environments import WorldError
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.evaluation.planning.goal_worlds import goal_world
from worldmodel_train.evaluation.tasks.planning import Config, Env

NEEDS = {"Reacher-v5": "mujoco", "gym_pusht/PushT-v0": "gym_pusht", "Pendulum-v1": "pygame"}
OPTIONS = {"gym_pusht/PushT-v0": {"obs_type": "pixels"}}


@pytest.fixture(params=get_args(Env))
def env(request):
    needs = NEEDS.get(request.param, "minigrid" if "MiniGrid" in request.param else "numpy")
    if find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed (make setup)")
    return request.param


def test_a_world_that_the_task_names_answers_what_is_asked(env):
    try:
        world = goal_world(env, size=16, options=OPTIONS.get(env, {}))
    except WorldError as error:
        pytest.skip(f"it cannot be drawn on this machine: {error}")
    assert isinstance(world, GoalWorld)
    starts, goals = world.draw_pairs(np.random.default_rng(0), 3)
    for rule in world.rules().values():
        actions = rule(starts, goals)
        assert actions.shape == (3, world.action_width())
        assert np.abs(actions).max() <= 1
        assert world.move(starts, actions).shape == starts.shape
    assert world.pictures(np.stack((starts, goals))).shape == (2, 3, 16, 16, 3)
    assert world.reached(goals, goals).all()
    assert world.places(starts).shape[0] == 3
    assert all(which.shape == (3,) for which in world.kinds(starts, goals).values())
    planner = {"name": "categorical_cem" if world.has_choices() else "cem"}
    assert Config.model_validate({"env": env, "planner": planner}).env == env
