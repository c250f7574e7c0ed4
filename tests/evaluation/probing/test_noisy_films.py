import numpy as np

from worldmodel_train.envs.balls import FilmShape
from worldmodel_train.evaluation.probing.noisy_films import noisy_films

SHAPE = FilmShape(frames=8, size=32, fps=8.0)


def test_what_is_known_is_of_each_tubelet_and_the_films_are_always_the_same():
    films = noisy_films(SHAPE, tubelet=4, count=12, television=0.375)
    again = noisy_films(SHAPE, tubelet=4, count=12, television=0.375)
    assert np.array_equal(films.clips, again.clips)
    shapes = {state.name: state.values.shape for state in films.states}
    assert shapes == {"place": (12, 2, 2), "velocity": (12, 2, 2), "television": (12, 2, 3)}


def test_where_a_thing_is_tells_where_it_comes_and_noise_tells_no_noise():
    films = noisy_films(SHAPE, tubelet=4, count=200, television=0.375)
    known = {state.name: state.values for state in films.states}
    for name, bound in (("place", 0.5), ("television", 0.2)):
        before, after = known[name][:, 0].ravel(), known[name][:, 1].ravel()
        correlation = abs(np.corrcoef(before, after)[0, 1])
        assert (correlation > bound) == (name == "place")
