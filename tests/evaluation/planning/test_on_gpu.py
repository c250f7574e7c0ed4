"""Planning where the model is."""

from functools import partial

import numpy as np
import pytest
import torch

from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.contest import Contest
from worldmodel_train.evaluation.planning.first_plans import Search, first_plans
from worldmodel_train.jepa.leworldmodel import Config
from worldmodel_train.planners import cem, gradient, icem, mppi, random_shooting
from worldmodel_train.planners.energies import nearness

pytestmark = pytest.mark.gpu
SMALL = {"horizon": 3, "candidates": 8}
PLANNERS = {
    "cem": cem.Config(**SMALL, elites=2, iterations=2),
    "icem": icem.Config(**SMALL, elites=2, iterations=2),
    "mppi": mppi.Config(**SMALL, elites=2, iterations=2),
    "gradient": gradient.Config(horizon=3),
    "random_shooting": random_shooting.Config(**SMALL),
}


@pytest.mark.parametrize("planner", PLANNERS.values(), ids=PLANNERS.keys())
def test_every_planner_searches_on_the_device_of_the_model(planner):
    torch.manual_seed(0)
    near = partial(nearness, distance="l2")
    contest = Contest(
        planner=planner,
        energy=near,
        place_energy=near,
        memory=1,
        scale=None,
        budget=2,
        replan_every=1,
        seed=0,
    )
    world = TwoRoomGoals(size=16)
    goals = contest.goals(world, 3)
    pilot = contest.model(Config.tiny().build().cuda().eval(), world, goals)
    attempts = contest.attempts(world, goals, {"trained": pilot}, where="here")["trained"]
    assert np.isfinite(attempts.states).all()
    plans = first_plans(pilot, goals.starts, Search(build=planner.build, distance="l2", seed=0))
    assert np.isfinite(plans.actions).all()
