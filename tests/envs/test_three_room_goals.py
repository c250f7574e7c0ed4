import numpy as np
import pytest

from worldmodel_train.envs.disc_rooms import Layout, free
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.three_room_goals import WALLS, ThreeRoomGoals


@pytest.fixture
def world():
    return ThreeRoomGoals(size=48)


@pytest.fixture
def pairs(world):
    return world.draw_pairs(np.random.default_rng(0), 200)


def follow(world, rule, states, goals, *, actions):
    for _ in range(actions):
        there = world.reached(states, goals)
        states = np.where(there[:, None], states, world.move(states, rule(states, goals)))
    return states


def test_it_is_a_world_whose_goals_are_two_doors_away_both_ways(world, pairs):
    assert isinstance(world, GoalWorld)
    starts, goals = pairs
    for places in pairs:
        assert all(free(places, wall).all() for wall in WALLS)
    for wall in WALLS:
        assert ((starts[:, 0] < wall.x) != (goals[:, 0] < wall.x)).all()
    assert 0.3 < world.kinds(starts, goals)["to the right"].mean() < 0.7


def test_the_expert_reaches_every_goal(world, pairs):
    starts, goals = pairs
    ends = follow(world, world.rules()["expert"], starts, goals, actions=60)
    assert world.reached(ends, goals).all()


def test_the_straight_way_ends_at_a_wall(world, pairs):
    starts, goals = pairs
    ends = follow(world, world.rules()["straight line"], starts, goals, actions=40)
    assert world.reached(ends, goals).mean() < 0.15


def test_no_action_passes_a_wall_but_by_its_door(world):
    generator = np.random.default_rng(0)
    states = world.draw_anywhere(generator, 300)
    crossings = 0
    for _ in range(60):
        before, states = states, world.move(states, generator.uniform(-1.5, 1.5, states.shape))
        for wall in WALLS:
            assert free(states, wall).all()
            crossed = (before[:, 0] < wall.x) != (states[:, 0] < wall.x)
            top, bottom = wall.doorway
            assert ((top <= before[crossed, 1]) & (before[crossed, 1] <= bottom)).all()
            crossings += crossed.sum()
    assert crossings > 0


def test_the_picture_shows_both_walls_and_their_doors(world):
    picture = world.pictures(np.array([0.5, 0.5]))
    assert (picture[[40, 4], [16, 32]] == 40).all()
    assert (picture[[12, 36], [16, 32]] == 255).all()
    assert tuple(picture[24, 24]) == (220, 30, 30)


def test_walls_that_leave_no_room_between_them_are_refused():
    with pytest.raises(ValueError, match=r"x=0.4 and 0.55 leave no room .* use more than 0.16"):
        ThreeRoomGoals(size=16, walls=(Layout(x=0.4), Layout(x=0.55)))
