"""What a step costs is counted from another run's recipe and from data where need be."""

import re

import pytest
import torch

from tests.cli.small_demo import SMALL
from worldmodel_train.cli.objectives import load_part, part_shapes, untrained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.cli.step_cost import cost_of
from worldmodel_train.models.flops import encoder_forward
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported


@pytest.fixture(scope="module")
def jepa(tmp_path_factory):
    """A run directory with a checkpoint of untrained weights."""
    run_dir = tmp_path_factory.mktemp("jepa")
    recipe = load_recipe("demo", [*SMALL, f"run_dir={run_dir}"])
    weights = untrained_objective(recipe).state_dict()
    save_imported(CheckpointFolder(run_dir), weights, resolved_yaml(recipe))
    return run_dir


def on(jepa):
    return load_recipe("vjepa2_ac_bridge_tiny", [f"method.encoder.checkpoint={jepa}"])


def test_a_frozen_encoder_costs_what_its_run_says(jepa):
    cost, encoder = cost_of(on(jepa)), load_recipe("demo", SMALL).method.encoder
    # the 8 frames of a window, each of 4 x 4 patches of 16 pixels
    expected = encoder_forward(encoder, 16).times(8)
    assert cost.flops["frozen encoder, forward"] == expected
    assert list(cost.parameters) == ["predictor"]


def test_a_run_counts_mfu_by_what_its_data_and_the_other_run_say(jepa):
    spec = pretrain_parts(on(jepa), "never")
    assert spec.cost().model_flops == cost_of(on(jepa)).model_flops > 0


def test_of_a_part_whose_shapes_are_asked_for_no_numbers_are_made(jepa):
    config = on(jepa).method.encoder
    (shapes, origin), part = (
        part_shapes(config, key="method.encoder"),
        load_part(config, key="here"),
    )
    assert {tensor.device.type for tensor in shapes.state_dict().values()} == {"meta"}
    assert origin == part.origin == f"target_encoder of {CheckpointFolder(jepa).last()}"
    loaded = part.on(torch.device("cpu")).state_dict()
    assert {k: v.shape for k, v in shapes.state_dict().items()} == {
        k: v.shape for k, v in loaded.items()
    }


def test_an_encoder_that_is_nowhere_is_named(tmp_path):
    recipe = on(tmp_path)
    with pytest.raises(CheckpointError, match=re.escape("method.encoder.checkpoint")):
        cost_of(recipe)


def test_episodes_that_are_nowhere_are_asked_for(tmp_path):
    recipe = load_recipe("pldm_wall", [f"data.sources.0.shards={tmp_path}/none.tar"])
    with pytest.raises(ValueError, match=re.escape("none.tar")):
        cost_of(recipe)


def test_a_method_that_does_not_say_is_named():
    with pytest.raises(ValueError, match="probes/attentive does not say what a step costs"):
        cost_of(load_recipe("probe_pen_strokes"))
