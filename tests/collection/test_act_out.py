"""An episode is what its seed and its policy make it."""

import gymnasium
import numpy as np
import pytest
import torch

from worldmodel_train.collection.act_out import EpisodeSeed, act_out
from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.policies import RandomPolicy
from worldmodel_train.collection.world import World
from worldmodel_train.protocols import Policy

CPU = torch.device("cpu")


class Counting(gymnasium.Env):
    """Counts, and is over after three actions."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, *, ended: bool) -> None:
        self.ended = ended

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        over = self.time == 3
        return np.full(1, self.time, np.float32), 2.0, over and self.ended, over, {}


def counting(*, ended=True):
    return World(Counting(ended=ended), "counting")


class Remembering:
    """Acts by how often it was asked."""

    def act(self, observation, memory, *, generator):
        times = 0 if memory is None else memory
        return torch.full((1, 1), times / 4), times + 1


def acted(world, policy, *, number=0, seed=0, longest=1000):
    where = EpisodeSeed(seed=seed, number=number)
    return act_out(world, policy, where, longest=longest, device=CPU)


def test_policies_are_policies():
    assert isinstance(RandomPolicy(1), Policy)


@pytest.mark.parametrize("ended", [True, False])
def test_only_what_the_world_ends_has_an_end(ended):
    episode = acted(counting(ended=ended), Remembering())
    assert episode.ends.tolist() == [False, False, ended]
    assert episode.observations[:, 0].tolist() == [0, 1, 2, 3]
    assert episode.rewards.tolist() == [2, 2, 2]


def test_a_policy_is_given_its_memory_back():
    assert acted(counting(), Remembering()).actions[:, 0].tolist() == [0, 0.25, 0.5]


def test_an_episode_is_cut_at_the_longest():
    episode = acted(counting(), Remembering(), longest=2)
    assert episode.ends.tolist() == [False, False]


def test_the_seed_and_the_number_decide_an_episode_and_nothing_else_does():
    world = open_world("Pendulum-v1")
    one, two, other, third = (
        acted(world, RandomPolicy(1), longest=5, **where)
        for where in ({}, {}, {"number": 1}, {"seed": 1})
    )
    np.testing.assert_array_equal(one.observations, two.observations)
    np.testing.assert_array_equal(one.actions, two.actions)
    for different in (other, third):
        assert not np.allclose(one.observations[0], different.observations[0])
        assert not np.allclose(one.actions, different.actions)


def test_acting_draws_nothing_from_torchs_global_generator():
    state = torch.get_rng_state()
    acted(open_world("Pendulum-v1"), RandomPolicy(1), longest=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_action_that_is_no_number_is_refused():
    class Broken:
        def act(self, observation, memory, *, generator):
            return torch.full((1, 1), torch.nan), None

    with pytest.raises(ValueError, match=r"action 0 in episode 7 is \[nan\]; lower optim\.lr"):
        acted(counting(), Broken(), number=7)
