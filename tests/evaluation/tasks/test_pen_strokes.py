import pytest

from worldmodel_train.data.config import DataConfig
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.pen_strokes import Config
from worldmodel_train.facts import ClipShape, DataFacts, SourceFacts
from worldmodel_train.recipe import load_recipe


def test_both_encoders_and_pixels_are_probed_for_both_labels(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0, seed=1))
    result = Config(characters=5, splits=1, neighbours=3).run(models)
    (section,) = result.sections
    assert [table.caption for table in section.tables] == [
        "Character: 5 classes, the commonest 20.0 %",
        "Alphabet: 5 classes, the commonest 20.0 %",
    ]
    assert [row.name for row in section.tables[0].rows] == [
        "trained encoder, mean",
        "trained encoder, 2x2x2",
        "untrained encoder, mean",
        "untrained encoder, 2x2x2",
        "pooled 8x8 pixels",
    ]
    assert result.measured_on.startswith("75 drawings to learn from and 25 by other people")
    assert [number.name for number in result.numbers][:2] == [
        "character, k-NN, mean",
        "character, k-NN, 2x2x2",
    ]
    pixels = result.numbers[0].baselines["pooled 8x8 pixels"]
    assert pixels.mean > 0.5  # five characters are told apart by their pixels


def test_clips_that_are_not_square_are_refused(monkeypatch, patch_means):
    held_out = SourceFacts(key=("data", "held_out"), clip=ClipShape(4, 16, 24), share=0.0)
    facts = DataFacts(sources=(), held_out=held_out)
    offer = Offer(objective=patch_means, preparation=None, data=load_recipe("demo").data)
    monkeypatch.setattr(DataConfig, "facts", lambda _: facts)
    assert list(Config().misfits(offer)) == [
        "draws square clips, and those of the recipe are 16x24; leave it out"
    ]


def test_a_drawer_is_left_to_train_on():
    assert Config(held_out_drawers=19).held_out_drawers == 19
    with pytest.raises(ValueError, match="less than 20"):
        Config(held_out_drawers=20)
