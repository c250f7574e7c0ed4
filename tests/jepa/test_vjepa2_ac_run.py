"""V-JEPA 2-AC as a run, on the real frames that ship with the package."""

import pytest
import torch

from worldmodel_train.cli.checkpoints import export, import_
from worldmodel_train.cli.measure import last_of, measure_checkpoint
from worldmodel_train.cli.objectives import build_objective, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.protocols import LatentDynamics
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.run import pretrain

RELEASED = "{name: rope3d_vjepa2}"


@pytest.fixture
def pretrained(tmp_path):
    """Trains the shipped recipe, small, on an encoder as drawn; gives recipe and result."""
    size = "method.encoder.size={width: 48, depth: 1, heads: 2}"
    jepa = load_recipe("demo", [size, f"method.encoder.position={RELEASED}"])
    torch.manual_seed(0)
    state = build_objective(jepa).state_dict()
    save_imported(CheckpointFolder(tmp_path / "jepa"), state, resolved_yaml(jepa))

    def train(folder, steps):
        more = (f"train.steps={steps}", f"run_dir={tmp_path / folder}")
        recipe = load_recipe("vjepa2_ac_bridge_tiny", (*small(tmp_path), *more))
        return recipe, pretrain(pretrain_parts(recipe, "auto"))

    return train


def small(folder):
    predictor = f"{{width: 48, depth: 1, heads: 2, position: {RELEASED}}}"
    return (
        f"method.encoder.checkpoint={folder / 'jepa'}", f"method.predictor={predictor}",
        "train.micro_batch=4", "train.global_batch=4", "optim.lr={name: constant, value: 1e-3}",
        "data.loader.workers=0", "checkpoint.every_steps=2", "log.every_steps=1",
    )  # fmt: skip


@pytest.mark.slow
def test_its_recipe_learns_from_real_frames_is_resumed_exactly_and_measured(pretrained):
    recipe, whole = pretrained("whole", 4)
    pretrained("resumed", 2)
    _, resumed = pretrained("resumed", 4)
    one, other = (read_weights(result.checkpoint) for result in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert isinstance(trained_objective(whole.checkpoint), LatentDynamics)
    last = last_of(recipe, recipe.run_path)
    (found,) = measure_checkpoint(recipe, recipe.evaluation, last, None).measurements
    assert {number.name.split()[0] for number in found.result.numbers} == {
        "loss", "teacher_forced", "rolled_out", "copied",
    }  # fmt: skip
    assert found.result.measured_on.startswith("5 held-out samples")


@pytest.mark.slow
def test_a_run_is_exported_as_metas_and_imported_again(pretrained, tmp_path):
    _, result = pretrained("run", 2)
    export(tmp_path / "ac.pt", from_run=tmp_path / "run", layout="meta")
    import_("vjepa2_ac_bridge_tiny", tmp_path / "ac.pt", tmp_path / "again", [*small(tmp_path)])
    again = read_weights(CheckpointFolder(tmp_path / "again").last())
    weights = read_weights(result.checkpoint)
    assert all(torch.equal(weights[name], tensor) for name, tensor in again.items())
    with pytest.raises(ValueError, match="--encoder-only: this model's encoder is another run's"):
        import_(
            "vjepa2_ac_bridge_tiny", tmp_path / "ac.pt", tmp_path / "other", [*small(tmp_path)],
            encoder_only=True,
        )  # fmt: skip
