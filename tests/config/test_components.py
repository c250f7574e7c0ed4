"""Components are files with a Config, and nothing else is imported."""

import sys

from worldmodel_train import jepa
from worldmodel_train.config.components import component_config, component_configs
from worldmodel_train.jepa import vjepa


def test_a_component_is_its_config_with_its_name():
    config = component_config(jepa, "jepa/vjepa")
    assert issubclass(config, vjepa.Config)
    assert config.model_fields["name"].default == "jepa/vjepa"


def test_the_same_component_is_the_same_class():
    assert component_config(jepa, "jepa/vjepa") is component_config(jepa, "jepa/vjepa")


def test_what_is_no_file_of_the_folder_is_not_imported():
    sys.modules.pop("this", None)
    for name in ("this", "jepa/this", "jepa/..this", "jepa/__init__", "", "jepa/"):
        assert component_config(jepa, name) is None
    assert "this" not in sys.modules


def test_a_file_without_a_config_is_no_component():
    assert component_config(jepa, "jepa/monitored_tokens") is None
    assert set(component_configs(jepa)) >= {"jepa/vjepa", "jepa/ijepa"}
