import pytest

from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.film_questions import Config
from worldmodel_train.facts import ClipShape, DataFacts, SourceFacts
from worldmodel_train.recipe import load_recipe

SMALL = {"films": 24, "splits": 1, "held_out": 8, "neighbours": 3}


def test_both_encoders_and_pixels_answer_every_question(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0, seed=1))
    result = Config(**SMALL).run(models)
    assert result.measured_on == (
        "16 films to learn from and 8 to be tested on, for each question, in 1 ways of holding "
        "films out"
    )
    (section,) = result.sections
    assert len(section.tables) == 7
    for table in section.tables:
        assert [row.name for row in table.rows] == [
            "trained encoder, mean",
            "trained encoder, 2x2x2",
            "untrained encoder, mean",
            "untrained encoder, 2x2x2",
            "pooled 8x8 pixels",
        ]
    assert [number.name for number in result.numbers[-2:]] == [
        "something hidden, linear, mean",
        "something hidden, linear, 2x2x2",
    ]
    assert all(len(number.trained.values) == 1 for number in result.numbers)


@pytest.mark.parametrize(
    "change", [{"splits": 2, "held_out": 13}, {"films": 20, "splits": 1, "held_out": 18}]
)
def test_splits_that_share_films_or_leave_too_few_are_refused(change):
    with pytest.raises(ValueError, match="use more films or hold out fewer"):
        Config(**(SMALL | change))


def test_clips_that_are_not_square_are_refused(monkeypatch, patch_means):
    held_out = SourceFacts(key=("data", "held_out"), clip=ClipShape(4, 16, 24), share=0.0)
    facts = DataFacts(sources=(), held_out=held_out)
    offer = Offer(objective=patch_means, preparation=None, data=load_recipe("demo").data)
    monkeypatch.setattr(DataConfig, "facts", lambda _: facts)
    assert list(Config().misfits(offer)) == [
        "films are square, and the clips of the recipe are 16x24; leave it out"
    ]
