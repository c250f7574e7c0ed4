import pytest
import torch

from worldmodel_train.evaluation.probing.foreseen_scores import by_chance
from worldmodel_train.evaluation.tasks.foreseen_views import Config
from worldmodel_train.jepa import image_world_model, seq_jepa


@pytest.mark.parametrize("method", [image_world_model, seq_jepa])
def test_every_method_that_foresees_views_is_asked(method, subject):
    config = method.Config.tiny()
    small = config.encoder.model_copy(update={"patch": 8, "tubelet": 2})
    config = config.model_copy(update={"encoder": small})
    torch.manual_seed(0)
    trained, untrained = config.build(), config.build()
    result = Config(views=5, max_clips=7).run(subject(trained, untrained))
    found, error = result.numbers
    assert set(found.baselines) == {"untrained", "told of another view's change", "chance"}
    assert found.baselines["chance"].mean == pytest.approx(by_chance(5))
    assert len(found.trained.values) == len(error.trained.values) == 7
    assert found.trained != found.baselines["untrained"]
    assert result.measured_on == "5 views of each of 7 held-out clips"
    assert trained.training


def test_a_predictor_that_is_told_nothing_scores_chance(subject):
    config = image_world_model.Config.tiny().model_copy(update={"conditioned": False})
    torch.manual_seed(0)
    models = subject(config.build(), config.build())
    (found, _) = Config(views=6, max_clips=2).run(models).numbers
    assert found.trained.mean == pytest.approx(by_chance(6))
