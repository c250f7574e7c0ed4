import pytest
import torch

from benchmarks.learning.cognitive import measure
from benchmarks.learning.counted import Counted
from benchmarks.learning.goal_trials import Settings
from benchmarks.learning.subgoals import searches
from benchmarks.learning.walked_model import Training
from tests.planners.line_world import LineWorld
from worldmodel_train.agents.practice import PracticeConfig
from worldmodel_train.agents.regression import Regression
from worldmodel_train.planners import icem
from worldmodel_train.planners.energies import nearness

FEW = Settings(
    training=Training(steps=2, walks=3, length=8),
    picture=16,
    goals=2,
    search=icem.Config(horizon=2, candidates=8, elites=2, iterations=1),
    lessons=3,
    ahead=2,
    rounds=1,
    round_goals=2,
    round_budget=2,
    practice=PracticeConfig(steps=2, horizon=2),
    practice_batch=4,
    critic_goals=2,
    budget=16,
    long_budget=4,
    regression=Regression(steps=2, batch=4),
)


@pytest.mark.slow
def test_both_modes_and_the_critic_meet_the_same_unseen_goals():
    numbers = measure("habits", FEW)
    assert numbers["reached"].keys() == {
        "Mode-1",
        "Mode-1 after practice",
        "Mode-2",
        "Mode-2 that asks the critic",
        "straight line",
        "expert",
    }
    assert 0 <= numbers["through the door"]["Mode-1"] <= 1


@pytest.mark.slow
def test_one_and_two_levels_meet_the_same_goals_two_doors_away():
    numbers = measure("levels", FEW)
    assert numbers["calls of a model, a search"]["flat, 24 actions"] == 48


def test_flat_searches_call_a_model_as_often_as_both_levels_together():
    start, energy, calls = torch.zeros(1, 2), nearness(torch.ones(1, 2), "l2"), {}
    coarse = Counted(LineWorld(held=4))
    for name, planner in searches(coarse).items():
        fine = Counted(LineWorld())
        planner.plan(fine, start, energy, generator=torch.Generator().manual_seed(0))
        calls[name] = fine.calls + (coarse.calls if name == "two levels" else 0)
    assert set(calls.values()) == {48}


def test_a_part_that_is_none_is_refused():
    with pytest.raises(ValueError, match="part='habit' is none; use habits or levels"):
        measure("habit", FEW)
