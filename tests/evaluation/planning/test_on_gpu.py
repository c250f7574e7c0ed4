"""Planning where the model is."""

import copy

import numpy as np
import pytest
import torch

from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.contest import Contest, Mind
from worldmodel_train.evaluation.planning.first_plans import Search, first_plans
from worldmodel_train.evaluation.planning.temporal_distance import TemporalDistance
from worldmodel_train.jepa.leworldmodel import Config
from worldmodel_train.planners import cem, gradient, icem, mppi, random_shooting
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.quick_models import InBf16

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
    actions = planned(planner, Config.tiny().build().cuda().eval(), "l2")
    assert np.isfinite(actions).all()


def test_a_model_in_bf16_and_a_learned_distance_search_there_too():
    torch.manual_seed(0)
    model = Config.tiny().build().cuda().eval()
    distance = TemporalDistance(Config.tiny().encoder.size.width).eval()
    assert np.isfinite(planned(PLANNERS["icem"], InBf16(model), distance)).all()


def planned(planner, model, distance):
    """Actions in two rooms, after attempts there; a distance that is a network is on the CPU."""
    contest = Contest(
        planner=planner,
        near=nearness,
        memory=1,
        scale=None,
        budget=2,
        replan_every=1,
        seed=0,
    )
    world, there = TwoRoomGoals(size=16), distance
    if isinstance(distance, TemporalDistance):
        there = copy.deepcopy(distance).cuda()
    goals = contest.goals(world, 3)
    pilot = contest.model(Mind(model=model, distance=there), world, goals)
    attempts = contest.attempts(world, goals, {"trained": pilot}, where="here")["trained"]
    assert np.isfinite(attempts.states).all()
    search = Search(build=planner.build, distance=distance, distance_called="it", seed=0)
    return first_plans(pilot, goals.starts, search).actions
