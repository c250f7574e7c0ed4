"""Worlds as policies meet them."""

import sys

import gymnasium
import numpy as np
import pytest

from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.world import View, World
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.envs.two_rooms import TwoRooms


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
        ("Pendulm-v1", r"^Pendulm-v1: .*Did you mean: `Pendulum`"),
        ("envs/two_roms", r"^envs/two_roms is none of envs/two_rooms"),
        ("nothing_there/World-v0", r"^nothing_there/World-v0: Namespace nothing_there not found"),
    ],
)
def test_a_world_that_there_is_not_is_refused(name, message):
    with pytest.raises(WorldError, match=message):
        open_world(name)


class Odd(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    observation_space = gymnasium.spaces.Dict({})
    render_mode = None

    def reset(self, *, seed=None, options=None):
        return {}, {"state": {"of": "another kind"}}

    def render(self):
        return np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (None, r"has observations Dict.* vectors of floats, or pictures of bytes$"),
        (View(see="vector"), r"has observations Dict.* vectors of floats, or see it as pixels$"),
        (View(see="pixels"), r"draws no pictures; see it as a vector$"),
    ],
)
def test_a_world_that_is_seen_as_a_dictionary_is_drawn_or_refused(view, message):
    with pytest.raises(WorldError, match="^odd " + message):
        World(Odd(), "odd", view)
    drawing = Odd()
    drawing.render_mode = "rgb_array"
    world = World(drawing, "odd", View(see="pixels", size=2))
    assert world.reset(0)[..., 0].tolist() == [[8, 14], [32, 38]]  # means of four
    assert world.state is None


def test_a_world_of_actions_without_bounds_is_refused():
    odd = Odd()
    odd.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    with pytest.raises(WorldError, match=r"^odd has actions Box.*; use a world whose actions are"):
        World(odd, "odd")


def test_a_vector_stays_beside_the_pixels_that_are_drawn_of_its_world():
    world, own = open_world("Pendulum-v1", View(see="pixels", size=24)), open_world("Pendulum-v1")
    picture = world.reset(3)
    assert (picture.shape, picture.dtype, picture.std() > 10) == ((24, 24, 3), np.uint8, True)
    np.testing.assert_array_equal(world.state, own.reset(3))
    picture = world.step(np.ones(1)).observation
    np.testing.assert_array_equal(world.state, own.step(np.ones(1)).observation)
    assert not np.array_equal(picture, world.step(np.ones(1)).observation)


def test_a_world_of_ours_draws_at_the_size_and_tells_its_state():
    world = open_world("envs/two_rooms", View(see="pixels", size=32))
    own = TwoRooms(size=32)
    picture, told = own.reset(seed=4)
    np.testing.assert_array_equal(world.reset(4), picture)
    np.testing.assert_array_equal(world.state, told["state"].astype(np.float32))


def test_options_are_what_the_worlds_maker_takes():
    world = open_world("envs/two_rooms", options={"look": {"disc": [30, 30, 220]}})
    assert world.env.look.disc == [30, 30, 220]
    message = (
        r"^envs/two_rooms with options \{'look'.*look has no 'dics'; use background, wall, disc"
    )
    with pytest.raises(WorldError, match=message):
        open_world("envs/two_rooms", options={"look": {"dics": [30, 30, 220]}})
    with pytest.raises(WorldError, match=r"^Pendulum-v1 with options .* argument 'gravity'"):
        open_world("Pendulum-v1", options={"gravity": 3})


def test_the_largest_number_is_the_choice_and_kept_as_one_of_several():
    world, own = open_world("CartPole-v1"), gymnasium.make("CartPole-v1")
    assert (world.action_width, world.has_choices) == (2, True)
    assert world.kept(np.array([-0.5, -0.4])).tolist() == [0, 1]
    world.reset(2)
    own.reset(seed=2)
    moment = world.step(np.array([-0.5, -0.4]))
    np.testing.assert_array_equal(moment.observation, own.step(1)[0])


def test_a_world_of_another_package_is_found_by_gymnasiums_own_way_alone(tmp_path, monkeypatch):
    (tmp_path / "strange_worlds.py").write_text(
        "from gymnasium import register\n"
        "register('strange_worlds/One-v0', 'gymnasium.envs.classic_control:PendulumEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorldError, match=r"^strange_worlds/One-v0: Namespace strange_worlds not"):
        open_world("strange_worlds/One-v0")
    assert "strange_worlds" not in sys.modules, "a recipe's name would have run it"
    assert open_world("strange_worlds:strange_worlds/One-v0").observation == (3,)
    gymnasium.registry.pop("strange_worlds/One-v0")
    sys.modules.pop("strange_worlds")
