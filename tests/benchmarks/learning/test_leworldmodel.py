import math

from benchmarks.learning.leworldmodel import (
    Settings,
    at_random,
    measure,
    planner_of_true_world,
    starts_and_goals,
    success,
)
from worldmodel_train.planners import cem

FEW = Settings(
    steps=3,
    batch=8,
    walks=4,
    walk_length=6,
    probed=40,
    episodes=4,
    budget=2,
    replan_every=2,
    search=cem.Config(horizon=2, candidates=4, elites=2, iterations=1),
)


def test_a_few_steps_give_every_number():
    numbers = measure(FEW)
    r2, reached = numbers["position_r2"], numbers["success"]
    assert all(map(math.isfinite, [*numbers["loss"].values(), *r2.values()]))
    assert r2.keys() == {"untrained", "trained"}
    assert len(reached) == 3
    assert all(0 <= shares["all"] <= 1 for shares in reached.values())


def test_search_in_the_true_world_beats_actions_at_random():
    settings = Settings(episodes=20, budget=20)
    planned = success(planner_of_true_world(settings), settings)
    assert planned["all"] > 0.3 + success(at_random(settings), settings)["all"]


def test_all_that_plan_meet_the_same_starts_and_goals():
    first, second = starts_and_goals(FEW), starts_and_goals(FEW)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
