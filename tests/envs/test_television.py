from dataclasses import replace

import numpy as np
import pytest

from worldmodel_train.envs.balls import Scene, draw_scene, film, film_many
from worldmodel_train.envs.television import CELLS

WITHOUT = Scene(things=2, texture=True, screen=True, solid=True)
WITH = WITHOUT.model_copy(update={"television": 0.375})
ALONE = Scene(things=1, television=0.375)


def drawn(scene, seed=0, size=32):
    return draw_scene(np.random.default_rng(seed), scene, size)


def shot(scene, frames=6, *, seed=0, size=32):
    return film(drawn(scene, seed, size), scene.laws(8.0), frames)


def patch(state, size=32):
    left, top, right, bottom = (state.television * size).astype(int)
    return (slice(None), slice(top, bottom), slice(left, right))


def test_a_scene_with_one_is_the_same_scene_elsewhere():
    state = drawn(WITH)
    one, other = shot(WITHOUT).pictures, shot(WITH).pictures
    outside = np.ones(one.shape, bool)
    outside[patch(state)] = False
    assert np.array_equal(one[outside], other[outside])
    assert (one != other).any()


def test_each_frame_shows_cells_that_no_frame_and_no_cell_tells():
    noise = np.stack(
        [
            shot(ALONE, frames=8, seed=seed).pictures[patch(drawn(ALONE, seed))][:, ::4, ::4]
            for seed in range(60)
            if not hides(seed)
        ]
    ).astype(float)
    assert noise.shape[1:] == (8, 3, 3, 3)
    assert noise.std() == pytest.approx(256 / 12**0.5, rel=0.05)
    flat = noise - noise.mean()
    in_time = (flat[:, 1:] * flat[:, :-1]).mean() / flat.var()
    beside = (flat[:, :, :, 1:] * flat[:, :, :, :-1]).mean() / flat.var()
    # some 5000 numbers: a standard error of .014
    assert abs(in_time) < 0.06
    assert abs(beside) < 0.06


def hides(seed):
    """Whether the thing passes before the television."""
    state = drawn(ALONE, seed)
    without = film(replace(state, television=np.zeros(4)), ALONE.laws(8.0), 8)
    return (without.pictures[patch(state)] != (225, 225, 225)).any()


def test_known_is_the_mean_colour_that_it_shows():
    seed = next(seed for seed in range(20) if not hides(seed))
    seen = shot(ALONE, frames=8, seed=seed)
    shown = seen.pictures[patch(drawn(ALONE, seed))].mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(seen.television, shown, atol=1e-9)
    assert not shot(WITHOUT).television.any()


def test_a_longer_film_begins_alike_and_one_among_others_is_the_same():
    short, long = shot(WITH, frames=3), shot(WITH, frames=9)
    assert np.array_equal(short.pictures, long.pictures[:3])
    states = [drawn(WITH, seed) for seed in range(3)]
    _, many = film_many(states, WITH.laws(8.0), 3)
    assert np.array_equal(many.pictures[0], short.pictures)
    assert np.array_equal(many.television[0], short.television)


@pytest.mark.parametrize("size", [24, 30, 32, 100])
def test_it_has_whole_cells_at_any_size(size):
    state = drawn(ALONE, size=size)
    assert (state.television * CELLS % 1 == 0).all()
    cells = (state.television[2:] - state.television[:2]) * CELLS
    assert cells.tolist() == [3, 3]
    assert shot(ALONE, frames=2, size=size).pictures.shape == (2, size, size, 3)


def test_things_pass_before_it():
    state = replace(drawn(ALONE), place=np.array([[0.5, 0.5]]), velocity=np.zeros((1, 2)))
    state = replace(
        state,
        television=np.array([0.25, 0.25, 0.75, 0.75]),
        shape=np.zeros(1, int),
        radius=np.array([0.1]),
    )
    pictures = film(state, replace(ALONE.laws(8.0), gravity=0.0), 3).pictures
    assert (pictures[:, 16, 16] == np.rint(state.colour[0])).all()
