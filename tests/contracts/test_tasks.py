"""What recipes, the report and `wmt eval --task` rely on, for every task that there is."""

import pytest

from worldmodel_train import protocols
from worldmodel_train.evaluation.evaluate import settings_of
from worldmodel_train.evaluation.task import Task
from worldmodel_train.recipe import TASKS


@pytest.fixture(params=TASKS.values(), ids=TASKS.keys())
def config(request):
    return request.param


def test_tasks_are_found():
    assert TASKS.keys() >= {"latent_prediction", "latent_horizon", "pen_strokes", "held_out_loss"}


def test_it_is_a_task_by_its_defaults_alone(config):
    # `wmt eval RUN --task NAME` takes them where a recipe does not name it
    assert isinstance(config(), Task)


def test_it_needs_what_a_method_may_offer(config):
    assert config.needs in vars(protocols).values()
    assert isinstance(config.needs_held_out, bool)


def test_its_settings_say_all_that_it_was_measured_with(config):
    assert config.model_validate_json(config().model_dump_json()) == config()
    assert settings_of(config()).keys() == config.model_fields.keys()
