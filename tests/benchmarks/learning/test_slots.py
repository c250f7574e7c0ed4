import numpy as np
import pytest

from benchmarks.learning.counterfactual import LAWS, SCENE
from benchmarks.learning.slot_worlds import random_scenes
from benchmarks.learning.slots import agreement, by_colour, refuse_other_films, things_of
from worldmodel_train.envs.balls import film
from worldmodel_train.recipe import load_recipe


def test_colours_tell_discs_apart_and_too_many_clusters_split_them():
    states = random_scenes(SCENE, 4, 0)
    shown = film(states, LAWS, 2)
    truth = things_of(shown, states.radius)
    colours = 1 + SCENE.things
    told, split = (
        agreement(by_colour(shown.pictures, [clusters] * 4), truth)["things"].mean()
        for clusters in (colours, colours + 3)
    )
    assert told > 0.99
    assert split < 0.95


def test_films_whose_truth_is_not_known_are_refused():
    data = load_recipe("slots_balls", []).data
    assert refuse_other_films(data) is data
    for change in ({"shapes": 2}, {"screen": True}):
        other = data.model_copy(update={"scene": data.scene.model_copy(update=change)})
        with pytest.raises(SystemExit, match="discs that nothing hides"):
            refuse_other_films(other)
    with pytest.raises(SystemExit, match="use 32"):
        refuse_other_films(data.model_copy(update={"size": 64}))
    with pytest.raises(SystemExit, match="data/films"):
        refuse_other_films(None)


def test_a_film_is_scored_by_who_holds_its_discs():
    truth = np.array([[[[0, 1], [2, 2]]]])
    same = agreement(truth, truth)
    assert same["things"].tolist() == same["all"].tolist() == [1.0]
