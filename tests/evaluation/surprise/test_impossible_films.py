import numpy as np
import pytest
import torch

from worldmodel_train.envs.balls import Scene
from worldmodel_train.evaluation.surprise.impossible_films import VIOLATIONS, FilmFormat, film_sets

SHOT = FilmFormat(frames=12, fps=8.0, size=32)
SCENE = Scene(things=1, speed=(0.4, 0.9))


def sets_of(violation, count=2, seed=0):
    return film_sets(violation, SCENE, SHOT, count=count, seed=seed)


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_films_are_the_same_until_it_happens_and_show_what_possible_ones_show(violation):
    sets = sets_of(violation)
    for possible, impossible, onset in zip(sets.possible, sets.impossible, sets.onset, strict=True):
        assert all(first in SHOT.middle for first in onset)
        for one, other, first in zip(possible, impossible, onset, strict=True):
            assert torch.equal(one[:first], other[:first])
            assert not torch.equal(one[first], other[first])
        if violation not in ("reverse_gravity", "pass_wall"):
            assert frames_of(possible) == frames_of(impossible)


def frames_of(films):
    """The bytes of all frames, in whatever order they are shown."""
    return sorted(frame.numpy().tobytes() for frame in films.flatten(0, 1))


def test_what_passes_a_wall_is_where_nothing_was_in_the_way():
    sets = sets_of("pass_wall")
    for possible, impossible in zip(sets.possible, sets.impossible, strict=True):
        wall = (possible[0, 0] != possible[1, 0]).any(dim=-1)
        assert wall.any()
        for walled, open_space in ((impossible[0], possible[1]), (possible[0], impossible[1])):
            assert torch.equal(walled[:, ~wall], open_space[:, ~wall])


def test_what_vanishes_was_there_and_what_is_reversed_rises():
    (film,) = sets_of("vanish", count=1).impossible[:, 0]
    ink = (film != film[0, 0, 0]).flatten(1).any(dim=1)
    assert ink[0]
    assert not ink[-1]
    sets = sets_of("reverse_gravity", count=1)
    soon = sets.onset[0][0] + 1
    falls, rises = (height(films[0, 0, soon]) for films in (sets.possible, sets.impossible))
    assert rises < falls


def height(picture):
    """The mean y of what is not background, from the top."""
    ink = (picture.double() - 225).abs().sum(dim=(1, 2)).numpy()
    return (ink * np.arange(len(ink))).sum() / ink.sum()


def test_films_are_the_same_for_a_seed_and_others_for_another():
    first, more = sets_of("recolour", count=1), sets_of("recolour")
    assert torch.equal(first.possible, more.possible[:1])
    assert not torch.equal(first.possible, sets_of("recolour", count=1, seed=1).possible)


def test_scenes_in_which_it_never_happens_are_refused(monkeypatch):
    monkeypatch.setattr("worldmodel_train.evaluation.surprise.impossible_films._MOST", 2)
    still = Scene(things=1, speed=(0.0, 0.0), gravity=0.0)
    with pytest.raises(ValueError, match="hidden_vanish happens in 0 of 64 scenes, and 2 are"):
        film_sets("hidden_vanish", still, SHOT, count=2, seed=0)
