"""The chapter says which states move as they are pushed, and what it cannot do."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.evaluation.atlas.conftest import EDITED, FILMS, Persists
from worldmodel_train.evaluation.atlas.films import KnownFilms
from worldmodel_train.evaluation.atlas.intervention_chapter import intervention_chapter
from worldmodel_train.evaluation.atlas.subject import Effort, Filmed, Material
from worldmodel_train.evaluation.frozen import Contestants


@pytest.fixture
def material(clips, states):
    volume = torch.zeros(FILMS, 4, 1, 1, 2)
    films = KnownFilms(clips=clips, states=states)
    return Material(
        models=Contestants(trained=Persists(), untrained=Persists()),
        filmed={"a toy": Filmed(films=films, trained=volume, untrained=volume)},
        own_clips=clips[:1],
        own=volume[:1],
        effort=Effort(films=FILMS, edited=EDITED, dictionary_steps=2),
    )


def test_states_that_predictions_tell_are_pushed_and_others_are_named_so(material):
    chapter = intervention_chapter(material)
    assert chapter.findings == (
        "Moves as it is pushed, further than by luck: shown (a toy), high (a toy).",
        "Is told but does not: none.",
    )
    pushed, exchanged, features = chapter.tables
    names = [row.name for row in pushed.rows]
    assert names[:2] == ["shown, trained", "shown, untrained"]
    assert "unrelated (not told), trained" in names
    assert [row.name for row in exchanged.rows] == names
    assert [column.name for column in features.columns[2:]] == ["moves shown", "moves high"]
    assert len(features.rows) == 7
    assert [plate.title for plate in chapter.plates][:2] == ["shown (a toy)", "high (a toy)"]


def test_a_predictor_as_it_was_drawn_is_asked_nothing(material):
    """Weights of others may come without one, and one is drawn then."""

    class WithPredictor(Persists):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.predictor = nn.Linear(2, 2)

    models = Contestants(trained=WithPredictor(), untrained=WithPredictor())
    chapter = intervention_chapter(replace(material, models=models))
    assert chapter.text == (
        "The predictor is as it was drawn, so what it says follows means nothing."
    )
    assert not chapter.tables
    with torch.no_grad():
        models.trained.predictor.bias += 1
    assert intervention_chapter(replace(material, models=models)).tables


def test_a_method_without_a_predictor_of_a_context_is_left_out_in_a_sentence(material):
    class OnlyEncodes(nn.Module):
        token_grid, encode = Persists.token_grid, Persists.encode

    models = Contestants(trained=OnlyEncodes(), untrained=OnlyEncodes())
    chapter = intervention_chapter(SimpleNamespace(models=models))
    assert chapter.text.startswith("This method predicts nothing from the latents of a context")
    assert not chapter.tables
