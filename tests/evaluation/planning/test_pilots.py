from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.evaluation.planning.seeing import Seeing
from worldmodel_train.data.trajectories.config import ActionScale
from worldmodel_train.data.trajectories.scaling import normalised, real
from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.closed_loop import Goals, attempt
from worldmodel_train.evaluation.planning.pilots import (
    ModelPilot,
    RandomPilot,
    TruePilot,
    TrueWorld,
)
from worldmodel_train.planners import cem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.replanning import Replanning
from worldmodel_train.protocols import LatentDynamics

WORLD = TwoRoomGoals(size=20)
GOALS = Goals(
    starts=np.array([[0.2, 0.2], [0.3, 0.8], [0.8, 0.4]]),
    goals=np.array([[0.35, 0.4], [0.2, 0.5], [0.9, 0.7]]),
)
ALL = np.arange(3)
NEAR = partial(nearness, distance="l2")
SEARCH = cem.Config(horizon=4, candidates=48, elites=6, iterations=3)


def bounds():
    return Bounds(low=-torch.ones(2), high=torch.ones(2))


def model_pilot(seed=0, memory=3):
    return ModelPilot(
        model=Seeing(WORLD),
        search=Replanning(SEARCH.build(bounds()), seed=seed),
        world=WORLD,
        goals=GOALS.goals,
        energy=NEAR,
        memory=memory,
    )


def test_who_sees_and_knows_the_world_reaches_all_goals_from_pictures():
    attempts = attempt(WORLD, GOALS, model_pilot(), budget=20, replan_every=2)
    assert attempts.reached.all()


def test_a_model_is_shown_the_last_pictures_and_the_actions_between_them():
    pilot = model_pilot()
    attempt(WORLD, GOALS, pilot, budget=6, replan_every=2)
    assert isinstance(pilot.model, Seeing)
    # of the goals once, after the first of now
    first, goal, *later = pilot.model.seen
    assert first == goal == (1, 0)
    assert later == [(3, 2), (3, 2)]


def test_a_model_with_a_longer_memory_is_shown_all_that_there_is():
    pilot = model_pilot(memory=4)
    states = np.tile(GOALS.starts, (3, 1, 1))
    pilot.choose(states, np.zeros((2, 3, 2)), which=ALL, count=1)
    assert pilot.model.seen[0] == (3, 2)


def test_a_model_of_scaled_actions_is_told_and_plans_these_alone():
    scale = ActionScale(mean=(0.5, -0.5), std=(0.5, 2.0))
    told = []

    class Scaled(Seeing):
        def encode(self, observations, actions):
            told.append(actions)
            return super().encode(observations, actions)

        def rollout(self, belief, actions):
            return super().rollout(belief, real(actions, scale))

    low, high = (normalised(end * torch.ones(2), scale) for end in (-1, 1))
    pilot = replace(
        model_pilot(),
        model=Scaled(WORLD),
        scale=scale,
        search=Replanning(SEARCH.build(Bounds(low=low, high=high)), seed=0),
    )
    assert attempt(WORLD, GOALS, pilot, budget=20, replan_every=2).reached.all()
    done = pilot.choose(
        np.tile(GOALS.starts, (2, 1, 1)), np.full((1, 3, 2), 0.5), which=ALL, count=4
    )
    np.testing.assert_allclose(told[-1], np.tile([0.0, 0.5], (3, 1, 1)))
    assert np.abs(done).max() <= 1 + 1e-6
    assert done[..., 0].min() < -0.5, "that is beyond the bounds of what is scaled"


def test_the_true_world_is_planned_in_from_its_state():
    assert isinstance(TrueWorld(WORLD), LatentDynamics)
    search = Replanning(SEARCH.build(bounds()), seed=0)
    pilot = TruePilot(search=search, world=WORLD, goals=GOALS.goals, energy=NEAR)
    assert attempt(WORLD, GOALS, pilot, budget=20, replan_every=2).reached.all()


def test_candidates_of_the_true_world_are_each_rolled_out_as_it_moves():
    generator = torch.Generator().manual_seed(0)
    actions = 2 * torch.rand(3, 5, 2, 2, generator=generator) - 1
    states = TrueWorld(WORLD).rollout(torch.from_numpy(GOALS.starts).float(), actions)
    for world in range(3):
        for candidate in range(5):
            now = GOALS.starts[world : world + 1]
            for step in range(2):
                now = WORLD.move(now, actions[world, candidate, step, None].double().numpy())
                # states travel in fp32
                np.testing.assert_allclose(states[world, candidate, step], now[0], atol=1e-6)


@pytest.mark.parametrize("make", [model_pilot, lambda seed: RandomPilot(
    width=2, generator=np.random.default_rng(seed)
)])  # fmt: skip
def test_the_same_seed_does_the_same(make):
    def states(seed):
        return attempt(WORLD, GOALS, make(seed=seed), budget=4, replan_every=2).states

    np.testing.assert_array_equal(states(0), states(0))
    assert not np.array_equal(states(0), states(1))


def test_a_disc_against_the_wall_cannot_be_imagined_through_it():
    """Rounded to fp32, the right side of the wall, 0.58, is in it: nothing stops discs there."""
    states = np.array([[WORLD.layout.barrier[1], 0.9]])
    seen = []

    class Watched(TwoRoomGoals):
        def move(self, states, actions):
            seen.append(moved := super().move(states, actions))
            return moved

    pilot = TruePilot(
        search=Replanning(SEARCH.build(bounds()), seed=0),
        world=Watched(size=20),
        goals=np.array([[0.3, 0.9]]),
        energy=NEAR,
    )
    pilot.choose(states[None], np.empty((0, 1, 2)), which=ALL[:1], count=1)
    assert len(seen) == SEARCH.iterations * SEARCH.horizon
    assert min(places[:, 0].min() for places in seen) >= states[0, 0]
