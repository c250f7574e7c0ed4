import pytest
import torch

from worldmodel_train.envs.balls import FilmShape
from worldmodel_train.evaluation.probing.film_labels import labelled_films

SHAPE = FilmShape(frames=4, size=32, fps=8.0)
NUMBER = 60


@pytest.fixture(scope="module")
def sets():
    return list(labelled_films(SHAPE, NUMBER))


def test_every_set_has_as_many_films_of_the_shape_asked_for(sets):
    assert [films.clips.shape for films in sets] == [(NUMBER, 4, 32, 32, 3)] * 4
    assert [list(films.labels) for films in sets] == [
        ["shape", "direction", "speed", "bounce"],
        ["number of things"],
        ["collision"],
        ["something hidden"],
    ]


def test_films_are_the_same_on_every_call(sets):
    again = next(labelled_films(SHAPE, NUMBER))
    assert torch.equal(again.clips, sets[0].clips)
    assert torch.equal(again.labels["direction"], sets[0].labels["direction"])


def test_all_answers_occur_and_speeds_equally_often(sets):
    counts = {name: labels.bincount() for one in sets for name, labels in one.labels.items()}
    assert {name: len(count) for name, count in counts.items()} == {
        "shape": 8, "direction": 8, "speed": 4, "bounce": 2, "number of things": 3,
        "collision": 2, "something hidden": 2,
    }  # fmt: skip
    assert all(count.min() > 0 for count in counts.values())
    assert counts["speed"].tolist() == [NUMBER // 4] * 4
    assert counts["number of things"].tolist() == [NUMBER // 3] * 3


def _dark(clips):
    """Middle, right and down from the corner, of where a film changes most over time."""
    moved = (clips.float() - clips.float().mean(dim=1, keepdim=True)).abs().sum(dim=-1)
    weight = moved / moved.sum(dim=(2, 3), keepdim=True)
    return (weight * torch.arange(32)[None, None, None]).sum(dim=(2, 3))


def test_what_heads_right_moves_right(sets):
    labels = sets[0].labels
    still = labels["bounce"] == 0
    across = _dark(sets[0].clips)
    right, left = (across[still & (labels["direction"] == way)] for way in (0, 4))
    assert (right[:, -1] > right[:, 0]).all()
    assert (left[:, -1] < left[:, 0]).all()
    assert len(right)
    assert len(left)
