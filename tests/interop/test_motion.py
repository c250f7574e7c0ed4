"""Meta's V-JEPA 2-AC in and out: a predictor of motion, for the encoder it was trained on."""

import pytest
import torch

from tests.contracts.methods import METHODS
from worldmodel_train.facts import DataFacts
from worldmodel_train.interop import CheckpointError, export_motion, import_motion, motion_parts
from worldmodel_train.jepa.vjepa2_ac import Config
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.rope import Rope3d, Rope3dVJepa2


def objective(*, seed=0, encoder_seed=0, position=None):
    position = position or Rope3dVJepa2()
    tiny, jepa = Config.tiny(), METHODS["jepa/vjepa"]
    torch.manual_seed(encoder_seed)
    encoder = jepa.encoder.model_copy(update={"position": position}).build()
    torch.manual_seed(seed)
    predictor = tiny.predictor.model_copy(update={"position": position})
    return tiny.model_copy(update={"predictor": predictor}).build(
        DataFacts(sources=(), kind="trajectories"), encoder=FrozenPart(encoder, origin="a run")
    )


@pytest.fixture
def exported(tmp_path):
    export_motion(tmp_path / "ac.pt", motion_parts(objective()))
    return tmp_path / "ac.pt"


def edit(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_a_round_trip_is_bit_equal(exported):
    source, other = objective(), objective(seed=7)
    report = import_motion(exported, motion_parts(other))
    assert report.ignored == (
        "predictor.extrinsics_encoder.weight", "predictor.extrinsics_encoder.bias",
    )  # fmt: skip
    state = source.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in other.state_dict().items())


def test_names_and_shapes_are_those_of_the_released_code(exported):
    content = torch.load(exported, weights_only=True)
    assert set(content) >= {"encoder", "target_encoder", "predictor", "opt", "scaler", "epoch"}
    shapes = {name: tuple(tensor.shape) for name, tensor in content["predictor"].items()}
    block = {
        f"module.predictor_blocks.{block}.{name}.{kind}"
        for block in (0, 1)
        for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    }
    ends = {
        "predictor_embed": (32, 48), "action_encoder": (32, 7), "state_encoder": (32, 7),
        "extrinsics_encoder": (32, 6), "predictor_norm": (32,), "predictor_proj": (48, 32),
    }  # fmt: skip
    assert shapes.keys() == block | {f"module.{n}.{k}" for n in ends for k in ("weight", "bias")}
    assert {name: shapes[f"module.{name}.weight"] for name in ends} == ends
    assert content["encoder"]["module.patch_embed.proj.weight"].shape == (48, 3, 2, 8, 8)


def test_a_predictor_is_refused_for_another_encoder_than_the_files(exported):
    other = objective(seed=7, encoder_seed=1)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"is for another encoder .* --encoder-only"):
        import_motion(exported, motion_parts(other))
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def test_the_rotation_that_was_meant_is_refused_both_ways(exported, tmp_path):
    meant = motion_parts(objective(position=Rope3d()))
    with pytest.raises(CheckpointError, match=r"the encoder is rope3d; .* use rope3d_vjepa2"):
        import_motion(exported, meant)
    with pytest.raises(CheckpointError, match="use rope3d_vjepa2"):
        export_motion(tmp_path / "other.pt", meant)


def test_what_is_missing_or_too_much_is_named(exported):
    def change(content):
        content["predictor"]["module.more"] = content["predictor"].pop("module.state_encoder.bias")

    edit(exported, change)
    with pytest.raises(CheckpointError) as caught:
        import_motion(exported, motion_parts(objective()))
    assert "state_encoder.bias" in str(caught.value)
    assert "more" in str(caught.value)


def test_a_file_without_a_predictor_and_one_with_nan_are_refused(exported):
    edit(exported, lambda content: content["predictor"]["module.predictor_proj.bias"].fill_(
        float("nan")))  # fmt: skip
    with pytest.raises(CheckpointError, match=r"predictor\.predictor_proj\.bias holds NaN"):
        import_motion(exported, motion_parts(objective()))
    edit(exported, lambda content: content.pop("predictor"))
    with pytest.raises(CheckpointError, match="has no predictor; it is not a V-JEPA 2-AC"):
        import_motion(exported, motion_parts(objective()))


def test_other_methods_have_no_such_parts():
    assert motion_parts(METHODS["jepa/vjepa"].build()) is None
    assert motion_parts(METHODS["jepa/leworldmodel"].build()) is None
