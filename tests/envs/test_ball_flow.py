import numpy as np
import pytest

from worldmodel_train.envs.ball_flow import NOTHING, moved, seen_things
from worldmodel_train.envs.ball_physics import NO_RECTANGLE, Laws, State
from worldmodel_train.envs.balls import Scene, draw_scene, stack

SIZE = 32
LAWS = Laws(fps=8.0)


def scene(places, velocities, *, screen=NO_RECTANGLE, radius=0.12):
    things = len(places)
    return State(
        place=np.array(places),
        velocity=np.array(velocities),
        radius=np.full(things, radius),
        shape=np.ones(things, np.int64),  # squares
        colour=np.array([(200.0, 40.0, 40.0), (40.0, 200.0, 40.0)][:things]),
        background=np.full((SIZE, SIZE, 3), 225, np.uint8),
        screen=np.array(screen),
        solid=np.array(NO_RECTANGLE),
        television=np.array(NO_RECTANGLE),
        noise=np.zeros((), np.int64),
    )


def test_pixels_of_a_thing_move_as_it_does_and_all_others_do_not():
    pair = moved(scene([(0.5, 0.5)], [(0.5, -0.25)]), LAWS)
    assert pair.moving.any()
    np.testing.assert_allclose(pair.flow[:, pair.moving].T, [(2.0, -1.0)] * pair.moving.sum())
    assert not pair.flow[:, ~pair.moving].any()


def test_following_the_flow_finds_the_same_pixels():
    """By whole pixels, so that no edge is blended otherwise."""
    pair = moved(scene([(0.5, 0.5)], [(0.5, -0.25)]), LAWS)
    rows, columns = np.nonzero(pair.moving)
    x, y = (pair.flow[axis][pair.moving].astype(int) for axis in (0, 1))
    np.testing.assert_array_equal(pair.second[rows + y, columns + x], pair.first[rows, columns])


def test_of_things_that_overlap_the_later_one_is_seen():
    seen = seen_things(scene([(0.5, 0.5), (0.55, 0.5)], [(0.0, 0.0)] * 2))
    assert seen[16, 17] == 1
    assert seen[16, 13] == 0
    assert seen[2, 2] == NOTHING


def test_behind_the_screen_nothing_is_seen():
    hidden = scene([(0.5, 0.5)], [(0.5, 0.0)], screen=(0.3, 0.0, 0.7, 1.0))
    pair = moved(hidden, LAWS)
    assert not pair.moving.any()
    assert not pair.flow.any()


def test_many_scenes_are_as_each_by_itself():
    generator = np.random.default_rng(0)
    states = [draw_scene(generator, Scene(), SIZE) for _ in range(3)]
    together = moved(stack(states), LAWS)
    for number, state in enumerate(states):
        alone = moved(state, LAWS)
        np.testing.assert_array_equal(together.flow[number], alone.flow)
        np.testing.assert_array_equal(together.second[number], alone.second)


@pytest.mark.parametrize("things", [1, 3])
def test_most_of_what_is_drawn_is_seen(things):
    state = draw_scene(np.random.default_rng(1), Scene(things=things, shapes=1), SIZE)
    area = np.pi * (state.radius * SIZE) ** 2
    seen = seen_things(state)
    for number in range(things):
        assert (seen == number).sum() == pytest.approx(area[number], rel=0.1)
