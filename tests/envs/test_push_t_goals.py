"""gym-pusht's own Push-T, as its simulator moves and draws it."""

import numpy as np
import pytest

from worldmodel_train.collection.open_world import open_world
from worldmodel_train.collection.world import View
from worldmodel_train.envs.environments import WorldError
from worldmodel_train.envs.goals import GoalWorld
from worldmodel_train.envs.push_t_goals import NAME, PushTGoals, state_of

OPTIONS = {"obs_type": "pixels"}


@pytest.fixture(scope="module")
def board():
    pytest.importorskip("gym_pusht", reason="gym-pusht is not installed (make setup)")
    return PushTGoals(size=32, options=OPTIONS)


@pytest.fixture(scope="module")
def pairs(board):
    return board.draw_pairs(np.random.default_rng(0), 8)


def at(hand=(100, 100), block=(300, 300), angle=0.0):
    return np.array([[*hand, *block, angle, *np.zeros(5)]], np.float64)


def to(x, y):
    """The action that sends the hand there."""
    return np.array([[x, y]]) / 256 - 1


def test_boards_move_and_look_as_in_episodes_that_are_collected(board):
    assert isinstance(board, GoalWorld)
    world = open_world(NAME, View(see="pixels", size=32), OPTIONS)
    seen = [world.reset(2)]
    states = state_of(world.env)[None]
    begun = states
    for _ in range(8):
        drawn = board.pictures(state_of(world.env))
        # a corner of the block may be rounded to the next pixel
        assert (drawn != seen[-1]).any(axis=-1).sum() <= 2
        action = to(*state_of(world.env)[2:4]).astype(np.float32)
        seen.append(world.step(action[0]).observation)
        states = board.move(states, action.astype(np.float64))
        # what the solver remembers of contacts is no part of the state; here in pixels
        np.testing.assert_allclose(states[:, :4], state_of(world.env)[None, :4], atol=0.1)
    assert np.abs(states - begun)[0, 2:4].max() > 20, "the block was pushed"


def test_what_comes_of_a_state_hangs_on_nothing_before_it(board, pairs):
    states, _ = pairs
    towards = states[:, 2:4] / 256 - 1
    pushed = board.move(board.move(states, towards), towards)
    again = pushed[::-1].copy()
    first = board.move(pushed, towards)
    np.testing.assert_array_equal(board.move(again, towards[::-1])[::-1], first)


def test_goals_are_what_comes_of_play(board):
    class Watched(PushTGoals):
        def move(self, states, actions):
            played.append(super().move(states, actions))
            return played[-1]

    played = []
    world = Watched(size=32, options=OPTIONS, ahead=6)
    starts, goals = world.draw_pairs(np.random.default_rng(1), 6)
    assert len(played) % 6 == 0
    ends = np.concatenate(played[5::6])
    assert all((ends == goal).all(axis=1).any() for goal in goals)
    assert not world.reached(starts, goals).any()
    assert (np.abs(goals[:, :4] - 256) < 196).all()


def test_no_hand_begins_within_a_block(board, pairs):
    starts, _ = pairs
    # a hand that is left alone pushes nothing away
    np.testing.assert_allclose(board.move(starts, board.stay(starts, starts)), starts, atol=1e-9)


def test_a_goal_is_both_places_within_twenty_pixels_and_the_angle(board):
    goal = at(angle=3.1)
    for state, reached in (
        (at(hand=(110, 100), block=(300, 310), angle=3.1), True),
        (at(hand=(115, 100), block=(300, 315), angle=3.1), False),
        (at(angle=-3.1), True),
        (at(angle=3.1 + 2 * np.pi), True),
        (at(angle=2.7), False),
    ):
        assert board.reached(state, goal)[0] == reached, state
    np.testing.assert_allclose(board.places(at(angle=3.1 + 2 * np.pi)), board.places(goal))


def test_a_straight_push_brings_a_block_that_is_met_in_its_middle(board):
    states = at(hand=(256, 100), block=(256, 200), angle=0.0)
    goals = at(hand=(256, 230), block=(256, 300), angle=0.0)
    for _ in range(30):
        if board.reached(states, goals).any():
            break
        states = board.move(states, board.push(states, goals))
    assert board.reached(states, goals).all()


def test_what_leaves_the_block_alone_reaches_what_needs_the_hand_alone(board):
    states, goals = at(), at(hand=(200, 150))
    (pushed,) = board.kinds(states, goals).values()
    assert not pushed.any()
    for _ in range(10):
        states = board.move(states, board.hand_alone(states, goals))
    assert board.reached(states, goals).all()
    (pushed,) = board.kinds(states, at(block=(300, 330))).values()
    assert pushed.all()


def test_pictures_with_marks_of_actions_are_refused():
    with pytest.raises(WorldError, match=r"^gym_pusht/PushT-v0 marks the last action .*obs_type="):
        PushTGoals(size=32)


def test_an_option_that_it_does_not_take_is_refused(board):
    with pytest.raises(WorldError, match=r"^gym_pusht/PushT-v0 with options .*gravity"):
        PushTGoals(size=32, options={**OPTIONS, "gravity": 1})
