import pytest
import torch

from worldmodel_train.collection.films import FilmsConfig
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.evaluation.tasks.view_sequences import Config
from worldmodel_train.jepa import seq_jepa
from worldmodel_train.models.views.saccades import Saccades

SMALL = Config(films=24, held_out=8, splits=1, neighbours=3, batch_size=16)


@pytest.fixture
def subject(tmp_path):
    """Two models with the weights of these seeds, on films of 16 pixels."""

    def make(*seeds, **changes):
        models = []
        for seed in seeds:
            torch.manual_seed(seed)
            models.append(seq_jepa.Config.tiny().model_copy(update=changes).build())
        clip = {"frames": 4, "fps": 8}
        data = FilmsConfig.model_validate({"name": "data/films", "clip": clip, "size": 16})
        return Subject(
            method="jepa/seq_jepa", trained=models[0], untrained=models[1], preparation=None,
            data=data, run_dir=tmp_path,
        )  # fmt: skip

    return make


def numbers(result):
    return {number.name: number for number in result.numbers}


def test_saccades_are_asked_where_they_lead_and_aggregates_about_films(subject):
    models = subject(0, 0, view=Saccades(name="saccades", size=8))
    found = numbers(SMALL.run(models))
    # patches are neither mirrored nor changed in size or light
    told = [name for name in found if name.startswith("told")]
    assert told == ["told by two views, place"]
    questions = {name.split(",")[0] for name in found if name not in told}
    assert len(questions) == 7
    for name, number in found.items():
        assert number.trained == number.baselines["untrained"], name  # both are the same model
        assert "pooled 8x8 pixels of the views" in number.baselines
    assert {name.split(", ")[2] for name in found if name not in told} == {
        "aggregate", "mean of the views",
    }  # fmt: skip


def test_views_by_crop_are_asked_about_all_that_is_changed(subject):
    found = numbers(SMALL.run(subject(0, 1)))
    told = {name.removeprefix("told by two views, ") for name in found if "told" in name}
    assert told >= {"place", "size", "mirrored", "brightness", "hue"}
    changed = [n for n, number in found.items() if number.trained != number.baselines["untrained"]]
    assert len(changed) > len(found) / 2


@pytest.mark.slow
def test_measuring_leaves_torchs_generator_alone_and_finds_the_same_again(subject):
    models = subject(0, 1, view=Saccades(name="saccades", size=8))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = SMALL.run(models)
    assert torch.equal(torch.get_rng_state(), before)
    assert first == SMALL.run(models)
    assert models.trained.training
