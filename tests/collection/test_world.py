"""Worlds as policies meet them."""

import gymnasium
import numpy as np
import pytest

from worldmodel_train.collection.world import World, open_world


def test_actions_from_minus_one_to_one_are_the_worlds_own_bounds():
    world, own = open_world("Pendulum-v1"), gymnasium.make("Pendulum-v1")
    assert (world.observation, world.action_width) == ((3,), 1)
    first, _ = own.reset(seed=5)
    np.testing.assert_array_equal(world.reset(5), first)
    for action in (-1.0, 1.0, 0.5):
        moment = world.step(np.array([action]))
        observation, reward, ended, cut, _ = own.step(np.array([2 * action], np.float32))
        np.testing.assert_array_equal(moment.observation, observation)
        assert (moment.reward, moment.ended, moment.cut) == (reward, ended, cut)


def test_worlds_of_ours_are_found_by_their_file():
    world = open_world("envs/two_rooms")
    assert world.observation == (64, 64, 3)
    assert world.reset(0).dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Pendulm-v1", r"data\.env=Pendulm-v1: .*Did you mean: `Pendulum`"),
        ("envs/two_roms", r"data\.env=envs/two_roms is none of envs/two_rooms"),
        ("CartPole-v1", r"data\.env=CartPole-v1 has actions Discrete\(2\); use a world whose"),
    ],
)
def test_a_world_that_cannot_be_acted_in_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        open_world(name)


def test_a_world_that_is_seen_as_a_dictionary_is_refused():
    class Odd(gymnasium.Env):
        action_space = gymnasium.spaces.Box(-1, 1, (1,))
        observation_space = gymnasium.spaces.Dict({})

    with pytest.raises(ValueError, match="has observations Dict"):
        World(Odd(), "odd")
