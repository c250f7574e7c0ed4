import math

import pytest
import torch

from benchmarks.learning.leworldmodel import (
    Settings,
    TrueWorld,
    at_random,
    measure,
    nearness,
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


def test_a_rollout_of_the_true_world_is_its_steps():
    torch.manual_seed(0)
    belief, actions = torch.rand(3, 2), 2 * torch.rand(3, 5, 4, 2) - 1
    state, rolled = belief, TrueWorld().rollout(belief, actions)
    for step in range(4):
        state = TrueWorld().step(state, actions[:, 2, step])
        assert torch.equal(rolled[:, 2, step], state)


def test_only_the_last_latent_must_be_near_the_goal():
    latents = torch.tensor([[[[9.0, 9.0], [1.0, 2.0]]]])
    energy = nearness(torch.zeros(1, 2))(latents, torch.zeros(1, 1, 2, 1))
    assert energy.item() == pytest.approx(5.0)
