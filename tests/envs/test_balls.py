from dataclasses import replace

import numpy as np
import pytest

from worldmodel_train.envs.ball_physics import NO_RECTANGLE, Laws, State, mass, roll
from worldmodel_train.envs.ball_pictures import PLAIN, SCREEN, SHAPES, draw
from worldmodel_train.envs.balls import Scene, draw_scene, film, stack, without

WEIGHTLESS = Scene(things=3, radius=(0.05, 0.1), gravity=0.0, bounce=1.0)
OVERLAP = 0.02
"""In sides: what remains where things run against several at once."""


def test_without_gravity_bouncing_keeps_the_energy():
    states = [state for state, _ in roll(_scenes(WEIGHTLESS), WEIGHTLESS.laws(10.0), 60)]
    energy = [(mass(s) * np.square(s.velocity).sum(axis=-1)).sum(axis=-1) for s in states]
    assert np.allclose(energy, energy[0], rtol=1e-9)


def test_a_collision_keeps_the_momentum_and_parts_the_two():
    place = np.array([[0.35, 0.5], [0.65, 0.55]])
    velocity = np.array([[0.5, 0.0], [-0.3, 0.1]])
    states, touches = zip(*roll(_state(place, velocity), Laws(fps=10.0), 8), strict=True)
    momentum = [(mass(s)[:, None] * s.velocity).sum(axis=0) for s in states]
    assert np.allclose(momentum, momentum[0])
    assert sum(touch.thing.all() for touch in touches) == 1
    assert not any(touch.wall.any() for touch in touches)
    assert states[-1].velocity[0, 0] < 0 < states[-1].velocity[1, 0]


def test_what_is_not_elastic_leaves_with_the_share_of_speed_it_keeps():
    state = _state(np.array([[0.3, 0.5]]), np.array([[-0.6, 0.2]]))
    *_, (last, _) = roll(state, Laws(fps=10.0, bounce=0.5), 6)
    assert last.velocity == pytest.approx(np.array([[0.3, 0.2]]))


def test_free_fall_is_the_parabola():
    state = _state(np.array([[0.5, 0.2]]), np.array([[0.1, 0.0]]))
    *_, (last, touches) = roll(state, Laws(fps=10.0, gravity=0.5), 6)
    assert last.place == pytest.approx(np.array([[0.55, 0.2 + 0.5 * 0.5**2 / 2]]))
    assert not touches.wall.any()


def test_nothing_leaves_the_square_enters_the_wall_or_overlaps():
    scene = WEIGHTLESS.model_copy(update={"gravity": 1.0, "bounce": 0.9, "solid": True})
    for state, _ in roll(_scenes(scene), scene.laws(10.0), 60):
        reach = state.radius[..., None]
        assert ((reach <= state.place + 1e-9) & (state.place <= 1 - reach + 1e-9)).all()
        low, high = state.solid[:, None, :2], state.solid[:, None, 2:]
        gap = np.linalg.norm(state.place - np.clip(state.place, low, high), axis=-1)
        assert (gap > state.radius - OVERLAP).all()
        for i, j in ((0, 1), (0, 2), (1, 2)):
            apart = np.linalg.norm(state.place[:, i] - state.place[:, j], axis=-1)
            assert (apart > state.radius[:, i] + state.radius[:, j] - OVERLAP).all()


def test_a_wall_turns_what_flies_against_it():
    state = _state(np.array([[0.2, 0.7]]), np.array([[1.0, 0.0]]))
    state = replace(state, solid=np.array([0.5, 0.4, 0.58, 1.0]))
    states, touches = zip(*roll(state, Laws(fps=10.0), 5), strict=True)
    assert max(s.place[0, 0] for s in states) <= 0.4 + 1e-9
    assert states[-1].velocity[0, 0] == pytest.approx(-1)
    assert sum(touch.wall.sum() for touch in touches) == 1


def test_a_disc_is_drawn_where_it_is():
    places = np.array([[0.31, 0.52], [0.7, 0.44], [0.5, 0.153]])
    for place in places:
        ink = np.abs(draw(_state(place[None], np.zeros((1, 2)))).astype(float) - PLAIN).sum(axis=-1)
        middles = (np.arange(64) + 0.5) / 64
        centroid = np.array([(ink.sum(axis=0) * middles).sum(), (ink.sum(axis=1) * middles).sum()])
        assert centroid / ink.sum() == pytest.approx(place, abs=1e-3)
        assert (ink / ink.max()).sum() / 64**2 == pytest.approx(np.pi * 0.1**2, rel=0.01)


def test_shapes_differ_and_lie_within_their_discs():
    state = _state(np.array([[0.5, 0.5]]), np.zeros((1, 2)))
    pictures = [draw(replace(state, shape=np.array([n]))) for n in range(len(SHAPES))]
    disc = (pictures[0] != PLAIN).any(axis=-1)
    for n, picture in enumerate(pictures):
        inked = (picture != PLAIN).any(axis=-1)
        assert inked.sum() > 0.2 * disc.sum()
        assert not (inked & ~disc).any()
        assert all((picture != other).any() for other in pictures[:n])


def test_what_passes_behind_the_screen_is_hidden_and_comes_out():
    state = _state(np.array([[0.15, 0.5]]), np.array([[0.7, 0.0]]))
    state = replace(state, screen=np.array([0.3, 0.0, 0.6, 1.0]))
    shown = film(state, Laws(fps=10.0), 11)
    assert shown.hidden[0, 0] == shown.hidden[-1, 0] == 0
    assert shown.hidden.max() == 1
    assert not shown.visible[shown.hidden[:, 0].argmax(), 0]
    behind = shown.pictures[shown.hidden[:, 0] == 1]
    assert (behind == behind[0]).all()
    assert (behind[0, :, 25] == SCREEN).all()


def test_what_has_no_radius_is_not_there():
    state = _state(np.array([[0.5, 0.5]]), np.zeros((1, 2)))
    assert (draw(replace(state, radius=np.zeros(1))) == PLAIN).all()


def test_a_film_is_the_same_alone_and_among_others():
    scene = Scene(screen=True, solid=True, texture=True)
    many = _scenes(scene, count=5)
    alone = draw_scene(np.random.default_rng(3), scene, 64)
    first, second = film(many, scene.laws(8.0), 8), film(alone, scene.laws(8.0), 8)
    assert first.pictures.shape == (5, 8, 64, 64, 3)
    for name in ("pictures", "place", "velocity", "hidden", "hit_wall", "hit_thing"):
        assert np.array_equal(getattr(first, name)[3], getattr(second, name))
    assert first.free[:, 0].all()
    assert first.hit_wall.any()


def test_a_scene_with_no_room_is_refused():
    with pytest.raises(ValueError, match="leave each other no room"):
        Scene(things=20)
    with pytest.raises(ValueError, match=r"speed=\[0\.5, 0\.2\] must be"):
        Scene(speed=(0.5, 0.2))
    with pytest.raises(ValueError, match="no share of the speed"):
        Laws(fps=8.0, bounce=1.5)


def _scenes(scene: Scene, count: int = 20) -> State:
    return stack([draw_scene(np.random.default_rng(n), scene, 64) for n in range(count)])


def _state(place: np.ndarray, velocity: np.ndarray) -> State:
    things = len(place)
    return State(
        place=place,
        velocity=velocity,
        radius=np.full(things, 0.1),
        shape=np.zeros(things, np.int64),
        colour=np.tile((200.0, 0.0, 40.0), (things, 1)),
        background=np.broadcast_to(np.array(PLAIN, np.uint8), (64, 64, 3)),
        screen=np.array(NO_RECTANGLE),
        solid=np.array(NO_RECTANGLE),
        television=np.array(NO_RECTANGLE),
        noise=np.zeros((), np.int64),
    )


def test_scenes_of_fewer_things_are_the_same_scenes_with_some_left_out():
    fewer = WEIGHTLESS.model_copy(update={"fewest": 1})
    counts = []
    for seed in range(40):
        states = [draw_scene(np.random.default_rng(seed), one, 16) for one in (WEIGHTLESS, fewer)]
        there = states[1].radius > 0
        assert np.array_equal(states[0].radius[there], states[1].radius[there])
        assert np.array_equal(states[0].place, states[1].place)
        counts.append(int(there.sum()))
    assert set(counts) == {1, 2, 3}


def test_what_is_not_there_is_neither_seen_nor_hit():
    place = np.array([[0.35, 0.5], [0.65, 0.5]])
    state = _state(place, np.array([[0.5, 0.0], [0.0, 0.0]]))
    alone = film(without(state, np.array([True, False])), Laws(fps=10.0), 8)
    assert not alone.hit_thing.any()
    assert (alone.place[:, 1] == place[1]).all()
    assert (film(state, Laws(fps=10.0), 8).place[-1, 1] != place[1]).any()
    assert (alone.pictures[0, :, :8] == PLAIN).all()


def test_more_things_at_least_than_at_most_are_refused():
    with pytest.raises(ValueError, match="fewest=3 is more than things=2"):
        Scene(things=2, fewest=3)
