"""Planning where an action is one of several, in a world that nobody here wrote."""

from functools import partial

import numpy as np
import pytest
import torch

from worldmodel_train.data.trajectories.config import ActionScale
from worldmodel_train.envs.minigrid_goals import MiniGridGoals
from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.contest import Contest
from worldmodel_train.evaluation.planning.first_plans import first_choices_changed
from worldmodel_train.evaluation.planning.pilots import RandomPilot, bounds_of
from worldmodel_train.planners import categorical_cem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness

SCALE = ActionScale(mean=(0.5,) * 7, std=(0.25,) * 7)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world():
    pytest.importorskip("minigrid", reason="the extra envs is not installed")
    return MiniGridGoals("MiniGrid-Empty-8x8-v0", size=32)


def test_in_the_true_world_all_goals_are_reached_and_at_random_few(world):
    near = partial(nearness, distance="l2", counted="nearest", way=0.03)
    contest = Contest(
        planner=categorical_cem.Config(horizon=8, candidates=48, elites=6, iterations=3),
        energy=near,
        place_energy=near,
        memory=1,
        scale=None,
        budget=16,
        replan_every=2,
        seed=0,
    )
    goals = contest.goals(world, 8)
    pilots = {"true": contest.true_world(world, goals), "random": contest.random(world)}
    attempts = contest.attempts(world, goals, pilots)
    assert attempts["true"].reached.all()
    assert attempts["random"].reached.sum() <= 2


def test_choices_are_a_one_among_zeros_as_episodes_have_them(world):
    bounds = bounds_of(world, None, CPU)
    assert (bounds.low.tolist(), bounds.high.tolist()) == ([0] * 7, [1] * 7)
    scaled = bounds_of(world, SCALE, CPU)
    assert (scaled.low.tolist(), scaled.high.tolist()) == ([-2] * 7, [2] * 7)
    assert bounds_of(TwoRoomGoals(size=8), None, CPU).low.tolist() == [-1, -1]


def test_at_random_each_choice_is_as_likely(world):
    pilot = RandomPilot(width=7, generator=np.random.default_rng(0))
    chosen = pilot.choose(
        np.zeros((1, 700, 4)), np.zeros((0, 700, 7)), which=np.arange(700), count=1
    )
    counts = np.bincount(chosen[:, 0].argmax(axis=1), minlength=7)
    # four standard deviations of 700 even choices
    assert (np.abs(counts - 100) < 4 * np.sqrt(700 * 6 / 49)).all()


def test_only_the_first_choice_of_a_plan_is_changed():
    bounds = Bounds(low=torch.full((3,), -2.0), high=torch.full((3,), 2.0))
    plans = torch.where(torch.eye(3)[torch.tensor([[0, 1], [2, 2]])] == 1, bounds.high, bounds.low)
    changed = first_choices_changed(plans, bounds)
    assert changed.shape == (2, 3, 2, 3)
    assert torch.equal(changed[:, :, 1], plans[:, None, 1].expand(2, 3, 3))
    for number in range(2):
        assert torch.equal(changed[number, :, 0], 4 * torch.eye(3) - 2)
