import pytest
import torch

from worldmodel_train.evaluation.tasks.optical_flow import Config
from worldmodel_train.jepa.mc_jepa import Config as McJepaConfig


@pytest.fixture
def result(subject):
    torch.manual_seed(0)
    models = subject(McJepaConfig.tiny().build(), McJepaConfig.tiny().build())
    return Config(films=6, pictures=2).run(models), models.run_dir


def test_everybody_is_asked_the_same(result):
    found, _ = result
    names = ["moving pixels", "still pixels", "all pixels"]
    assert [number.name for number in found.numbers] == [f"end-point error, {n}" for n in names]
    for number in found.numbers:
        assert list(number.contenders) == ["trained", "untrained", "no flow", "Farneback"]
        assert number.lower_is_better
    assert found.numbers[1].baselines["no flow"].mean == 0


def test_flow_in_colours_is_written(result):
    found, run_dir = result
    (gallery,) = found.galleries
    (picture,) = gallery.pictures
    assert (run_dir / picture.file).is_file()
    # first, second, true flow, and four contenders
    assert picture.width > 7 * picture.height / 2 / 1.2
