"""MiniGrid's own worlds, as they move and draw their agent."""

import numpy as np
import pytest

from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.world import View
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.minigrid_goals import MiniGridGoals
from worldmodel_train.envs.repeated_goals import RepeatedGoals

EMPTY, ROOMS = "MiniGrid-Empty-8x8-v0", "MiniGrid-FourRooms-v0"
OPTIONS = {"highlight": False, "tile_size": 8}
LEFT, RIGHT, AHEAD = np.eye(7)[:3]


@pytest.fixture(scope="module", params=[EMPTY, ROOMS])
def grid(request):
    return made(request.param)


@pytest.fixture(scope="module")
def rooms():
    return made(ROOMS)


def made(name):
    pytest.importorskip("minigrid", reason="the extra envs is not installed")
    return MiniGridGoals(name, size=32, options=OPTIONS)


def states_of(world, seed):
    return np.array([[seed, *world.env.agent_pos, world.env.agent_dir]], np.float64)


def test_agents_move_and_look_as_in_episodes_that_are_collected(grid):
    assert isinstance(grid, GoalWorld)
    world = open_world(grid.name, View(see="pixels", size=32), OPTIONS)
    seen, rng = [world.reset(3)], np.random.default_rng(0)
    states = states_of(world, seed=3)
    for number in range(30):
        np.testing.assert_array_equal(grid.pictures(states)[0], seen[-1])
        action = AHEAD if number % 2 else rng.uniform(-1, 1, 7)
        seen.append(world.step(action).observation)
        states = grid.move(states, action[None])
        np.testing.assert_array_equal(states, states_of(world, seed=3))
    assert not np.array_equal(seen[0], seen[-1])


def test_goals_are_other_squares_of_the_same_layout(grid):
    starts, goals = grid.draw_pairs(np.random.default_rng(0), 20)
    np.testing.assert_array_equal(starts[:, 0], goals[:, 0])
    assert not grid.reached(starts, goals).any()
    # a wall is grey, and free squares are black but for their lines
    corners = grid.pictures(starts)[:, 0, 0]
    assert (corners > 50).all()


def test_each_episode_has_doors_of_its_own(rooms):
    starts, _ = rooms.draw_pairs(np.random.default_rng(0), 2)
    one, other = rooms.pictures(np.stack((starts[0], [starts[1, 0], *starts[0, 1:]])))
    assert not np.array_equal(one, other)


def arrivals(grid, rule, starts, goals):
    """After how many actions, or 99."""
    states, arrival = starts, np.full(len(starts), 99)
    for count in range(1, 61):
        states = grid.move(states, rule(states, goals))
        arrives = (arrival == 99) & grid.reached(states, goals)
        arrival[arrives] = count
    return arrival


def test_the_expert_takes_a_shortest_way_and_the_straight_line_ends_at_walls(rooms):
    starts, goals = rooms.draw_pairs(np.random.default_rng(0), 4)
    kinds = rooms.kinds(starts, goals)
    by_expert = arrivals(rooms, rooms.expert, starts, goals)
    straight = arrivals(rooms, rooms.straight, starts, goals)
    assert (by_expert < 99).all()
    assert (by_expert <= straight).all()
    around = kinds["around walls"]
    assert around.sum() == 2
    assert (straight[around] == 99).all()


def test_in_an_empty_room_the_straight_line_arrives():
    empty = made(EMPTY)
    starts, goals = empty.draw_pairs(np.random.default_rng(0), 20)
    assert (arrivals(empty, empty.straight, starts, goals) < 99).all()
    assert not empty.kinds(starts, goals)["around walls"].any()


def test_the_fewest_actions_count_turns():
    empty = made(EMPTY)
    # three ahead, and behind a turn to the left two more
    starts, goals = np.array([[0, 1, 4, 0.0]]), np.array([[0, 4, 2, 0.0]])
    assert arrivals(empty, empty.expert, starts, goals).tolist() == [6]
    turned = empty.move(starts, LEFT[None])
    assert turned.tolist() == [[0, 1, 4, 3]]
    assert empty.move(turned, RIGHT[None]).tolist() == starts.tolist()


def test_who_has_arrived_may_be_asked_on():
    empty = made(EMPTY)
    there = np.array([[0, 4, 2, 1.0]])
    np.testing.assert_array_equal(empty.move(there, empty.expert(there, there)), there)


def test_several_choices_do_not_count_as_one(rooms):
    with pytest.raises(ValueError, match=r"2 actions of a world of choices .* use frameskip 1"):
        RepeatedGoals(world=rooms, times=2)


def test_an_option_that_it_does_not_take_is_refused(rooms):
    with pytest.raises(WorldError, match=r"^MiniGrid-FourRooms-v0 with options .*gravity"):
        MiniGridGoals(ROOMS, size=32, options={"gravity": 1})
