"""`wmt import --optimizer` stores the moments of a released optimizer beside the weights."""

import pytest
import torch
from typer.testing import CliRunner

from tests.interop.test_optimizer_state import Released, gradients_of, in_their_layout
from worldmodel_train.cli.commands import app
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.recipe import load_recipe
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import CheckpointReader

SMALL = (
    "method.encoder.size={width: 24, depth: 1, heads: 2}",
    "method.encoder.position.name=rope3d_vjepa2",
    "method.predictor={width: 24, depth: 1, heads: 2, mask_tokens: 2}",
)


def wmt(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "300"})


@pytest.fixture
def released(tmp_path):
    """A file that was trained for two steps."""
    objective = build_objective(load_recipe("demo", SMALL))
    optimizer = Released(in_their_layout(objective, tmp_path / "a.pt", "rope3d_vjepa2"))
    for seed in (0, 1):
        drawn = gradients_of(objective, seed)
        optimizer.step(in_their_layout(drawn, tmp_path / "g.pt", "rope3d_vjepa2"))
    optimizer.save(tmp_path / "released.pt")
    return tmp_path / "released.pt", optimizer


def test_moments_are_stored_with_the_weights(released, tmp_path):
    path, optimizer = released
    result = wmt("import", "demo", path, tmp_path / "run", *SMALL, "--optimizer")
    assert result.exit_code == 0, result.output
    assert "after 2 steps" in result.output
    assert "optimizer: true" in result.output
    checkpoint = CheckpointFolder(tmp_path / "run").last()
    reader = CheckpointReader(checkpoint)
    assert (reader.meta.step, reader.meta.optimizer_step) == (0, 2)
    name = "predictor_embed.bias"
    theirs = optimizer.parameters["predictor", f"module.backbone.{name}"]
    with torch.no_grad():
        file = reader._file("moments-00000.safetensors")
        stored = file.get_tensor("exp_avg/predictor.embed.bias")
    assert torch.equal(stored, optimizer.adamw.state[theirs]["exp_avg"])


def test_without_the_option_there_are_no_moments(released, tmp_path):
    result = wmt("import", "demo", released[0], tmp_path / "run", *SMALL)
    assert result.exit_code == 0, result.output
    assert "optimizer: false" in result.output
    checkpoint = CheckpointFolder(tmp_path / "run").last()
    assert CheckpointReader(checkpoint).meta.optimizer_step is None


def test_an_encoder_alone_has_no_optimizer(released, tmp_path):
    result = wmt(
        "import", "demo", released[0], tmp_path / "run", *SMALL, "--optimizer", "--encoder-only"
    )
    assert result.exit_code != 0
    assert "--optimizer goes with a whole V-JEPA or I-JEPA" in str(result.exception)
    assert CheckpointFolder(tmp_path / "run").last() is None
