import hashlib

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from worldmodel_train.envs.disc_rooms import (
    Layout,
    Look,
    draw,
    draw_free,
    free,
    move,
    toward,
)
from worldmodel_train.envs.two_rooms import SPEC, TwoRooms, scripted
from worldmodel_train.protocols import Policy

LAYOUT = Layout()


def test_gymnasium_has_nothing_to_say_against_it():
    check_env(gymnasium.make(SPEC).unwrapped)


def test_many_worlds_are_one_vector_environment():
    worlds = gymnasium.make_vec(SPEC, num_envs=3)
    pictures, info = worlds.reset(seed=0)
    alone, _ = TwoRooms().reset(seed=1)
    assert pictures.shape == (3, 64, 64, 3)
    assert info["state"].shape == (3, 2)
    assert np.array_equal(pictures[1], alone)


def test_the_same_seed_and_actions_give_the_same_pictures_and_another_seed_does_not():
    first, second, other = (_pictures(seed) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_wall_stops_a_disc_that_runs_against_it_and_lets_it_slide():
    env = TwoRooms()
    env.reset(options={"start": (0.3, 0.8)})
    for _ in range(5):
        *_, info = env.step(np.array([1.0, 0.1]))
    assert info["state"] == pytest.approx([LAYOUT.barrier[0], 0.85])


def test_no_action_jumps_through_the_wall_however_thin():
    thin = Layout(wall=1e-6, radius=1e-3)
    start = np.array([[0.498, 0.1], [0.502, 0.1]])
    ends = move(start, np.array([[1.0, 0.0], [-1.0, 0.0]]), thin)
    assert ends[0, 0] < 0.5 < ends[1, 0]


def test_the_door_lets_a_disc_through_both_ways():
    for start, push in ((0.3, 1.0), (0.7, -1.0)):
        state = np.array([start, 0.5])
        for _ in range(4):
            state = move(state, np.array([push, 0.0]), LAYOUT)
        assert state == pytest.approx([1 - start, 0.5])


def test_random_walks_touch_nothing_and_meet_both_rooms():
    generator = np.random.default_rng(0)
    state = draw_free(generator, LAYOUT, 200)
    crossed = np.zeros(200, bool)
    for _ in range(60):
        before = state
        state = move(state, generator.uniform(-1.5, 1.5, state.shape), LAYOUT)
        assert free(state, LAYOUT).all()
        crossed |= (before[:, 0] < 0.5) != (state[:, 0] < 0.5)
    assert 0 < crossed.sum() < 200


def test_the_picture_shows_the_disc_where_the_state_says():
    states = draw_free(np.random.default_rng(1), LAYOUT, 50)
    redness = draw(states, LAYOUT, 64)[..., 0].astype(float) - draw(states, LAYOUT, 64)[..., 1]
    centre = (np.arange(64) + 0.5) / 64
    total = redness.sum((1, 2))
    seen = np.stack(((redness * centre).sum((1, 2)), (redness * centre[:, None]).sum((1, 2))), -1)
    assert np.abs(seen / total[:, None] - states).max() < 0.1 / 64


def test_the_picture_shows_wall_and_door():
    picture = draw(np.array([0.2, 0.2]), LAYOUT, 64)
    assert (picture[:16, 31:33] == 40).all()
    assert (picture[30:34, 31:33] == 255).all()


def test_an_episode_ends_at_the_goal_and_its_reward_is_the_distance():
    env = TwoRooms()
    env.reset(options={"start": (0.2, 0.2), "goal": (0.3, 0.2)})
    _, reward, ended, cut, info = env.step(np.array([0.4, 0.0]))
    assert (reward, ended, cut) == (pytest.approx(-0.06), False, False)
    assert info["goal"] == pytest.approx([0.3, 0.2])
    assert env.step(np.array([0.5, 0.0]))[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (0.5, 0.1)}, r"start=\(0.5, 0.1\) is no free place"),
        ({"goal": (0.2,)}, "no free place"),
        ({"end": (0.2, 0.2)}, "no option 'end'; use start or goal"),
    ],
)
def test_a_start_in_the_wall_and_options_it_does_not_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TwoRooms().reset(seed=0, options=options)


def test_every_episode_may_begin_at_one_place():
    corner = TwoRooms(start=[0.1, 0.2])
    goals = set()
    for seed in range(3):
        _, info = corner.reset(seed=seed)
        assert info["state"].tolist() == [0.1, 0.2]
        goals.add(tuple(info["goal"]))
        assert np.array_equal(info["goal"], TwoRooms().reset(seed=seed)[1]["goal"])
    assert len(goals) == 3
    with pytest.raises(ValueError, match=r"start=\[0.5, 0.1\] is no free place"):
        TwoRooms(start=[0.5, 0.1])


def test_a_door_too_narrow_for_the_disc_is_refused():
    with pytest.raises(ValueError, match=r"door_width=0.1 .* use more than 0.1"):
        Layout(door_width=0.1)


def _pictures(seed):
    env = TwoRooms()
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    first, _ = env.reset(seed=seed)
    return np.stack([first, *(env.step(action)[0] for action in actions)])


def test_an_expert_takes_the_shortest_way_to_any_goal_and_never_waits_at_the_wall():
    places = draw_free(np.random.default_rng(5), LAYOUT, 400)
    state, goal = places[:200], places[200:]
    across = (state[:, 0] < 0.5) != (goal[:, 0] < 0.5)
    assert 50 < across.sum() < 150
    steps = np.zeros(200)
    for _ in range(25):
        action = toward(state, goal, LAYOUT)
        assert np.abs(action).max() <= 1
        there = np.abs(state - goal).max(axis=1) < 1e-9
        steps += ~there
        state = move(state, action, LAYOUT)
    assert np.abs(state - goal).max() < 1e-9
    straight = np.ceil(np.abs(places[:200] - goal).max(axis=1) / LAYOUT.step - 1e-9)
    (left, right), x = LAYOUT.barrier, np.stack((places[:200, 0], goal[:, 0]))
    same_room = ~across & ((x <= left) | (x >= right)).all(axis=0)
    assert (steps[same_room] == straight[same_room]).all()
    assert (steps >= straight).all()


def test_an_expert_comes_out_of_the_door_on_either_side():
    state = np.array([[0.48, 0.5], [0.48, 0.5], [0.52, 0.47], [0.5, 0.5]])
    goal = np.array([[0.9, 0.1], [0.1, 0.1], [0.1, 0.9], [0.1, 0.5]])
    for _ in range(12):
        state = move(state, toward(state, goal, LAYOUT), LAYOUT)
    assert state == pytest.approx(goal)


def test_the_script_is_a_policy_that_ends_each_episode():
    env = TwoRooms()
    policy = scripted(env)
    assert isinstance(policy, Policy)
    for seed in range(5):
        env.reset(seed=seed)
        for _ in range(30):
            generator = torch.Generator()
            action, _ = policy.act(torch.zeros(1, 64, 64, 3), None, generator=generator)
            if env.step(action[0].numpy())[2]:
                break
        else:
            pytest.fail(f"the goal of seed {seed} was not reached")


def test_factors_are_named_alone_and_the_others_stay():
    own, other = TwoRooms(), TwoRooms(layout={"door": 0.3}, look={"wall": (0, 90, 0)})
    assert other.layout == Layout(door=0.3)
    assert other.look == Look(wall=(0, 90, 0))
    usual, _ = own.reset(seed=1, options={"start": (0.2, 0.2), "goal": (0.1, 0.1)})
    pictured, _ = other.reset(seed=1, options={"start": (0.2, 0.2), "goal": (0.1, 0.1)})
    assert (usual[30:34, 31:33] == 255).all()
    assert (pictured[30:34, 31:33] == (0, 90, 0)).all()
    assert (pictured[17:21, 31:33] == 255).all()
    assert np.array_equal(usual[:, :26], pictured[:, :26])


@pytest.mark.parametrize(
    ("factor", "changed"),
    [
        ({"disc": (30, 30, 220)}, (30, 30, 220)),
        ({"background": (200, 220, 255)}, (220, 30, 30)),
    ],
)
def test_a_look_changes_colours_and_nothing_else(factor, changed):
    state = np.array([0.25, 0.25])
    usual, other = (draw(state, LAYOUT, 64, Look(**named)) for named in ({}, factor))
    assert tuple(other[16, 16]) == changed
    assert tuple(other[50, 10]) == Look(**factor).background
    assert (other[:8, 31:33] == usual[:8, 31:33]).all()


def test_the_usual_pictures_are_those_of_before_there_were_looks():
    # of the world as it was when the numbers of the README were measured
    states = draw_free(np.random.default_rng(1), LAYOUT, 20)
    digest = hashlib.sha256(draw(states, LAYOUT, 64).tobytes()).hexdigest()
    assert digest == "a09e36baa0fb18ac6b6d5284cd7378b2e77e8b4b08bf285f61a168f3af3daf2d"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layout": {"colour": 1}}, "layout has no 'colour'; use radius, step, wall, door"),
        ({"layout": {"door": 0.05}}, "door=0.05 of door_width=0.24 .* 0.12 to 0.88"),
        (
            {"layout": {"x": 0.1}},
            "x=0.1 of the wall leaves .* no room beside it; use more than 0.13",
        ),
        ({"look": {"disc": (300, 0, 0)}}, r"disc=\(300, 0, 0\) is no colour; use three numbers"),
        ({"look": {"disc": (1, 2)}}, "is no colour"),
    ],
)
def test_factors_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        TwoRooms(**given)
