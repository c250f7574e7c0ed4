"""VideoMAE of transformers: three classes, two ways of naming biases, with and without a norm."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)

from tests.interop.test_huggingface import edit_config, edit_weights, pixels
from worldmodel_train.interop import (
    ENCODERS,
    CheckpointError,
    ClipSize,
    export_checkpoint,
    import_checkpoint,
    method_of_config,
)
from worldmodel_train.jepa.vjepa import Config

SIZE = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 6,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 201,
    "decoder_hidden_size": 24,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 48,
}
KINDS = [VideoMAEModel, VideoMAEForPreTraining, VideoMAEForVideoClassification]


def random_videomae(kind, directory, **changes):
    """A model of transformers, saved, all of whose weights are random."""
    torch.manual_seed(1)
    model = kind(VideoMAEConfig(**SIZE | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.25)
    model.save_pretrained(directory)
    return model


def objective_of(directory):
    """What `config.json` describes, with weights as drawn."""
    fields = method_of_config(directory) | {
        "predictor": {"width": 24, "depth": 1, "heads": 2},
        "masks": [{"name": "multiblock3d"}],
    }
    return Config.model_validate(fields).build()


def latents(objective, clips):
    with torch.no_grad():
        return objective.target_encoder(clips)[0]


def assert_same(objective, theirs, clips):
    """Without a norm latents are of any size, so what may differ is a share of the largest."""
    with torch.no_grad():
        expected = getattr(theirs, "videomae", theirs)(pixels(clips)).last_hidden_state
    difference = (latents(objective, clips) - expected).abs().max()
    assert difference <= 1e-5 * expected.abs().max()


def clips_of(frames=6, height=32, width=32):
    generator = torch.Generator().manual_seed(0)
    shape = (2, frames, height, width, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.fixture
def saved(tmp_path):
    random_videomae(VideoMAEModel, tmp_path / "theirs")
    return tmp_path / "theirs"


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_of_each_class_computes_the_same(tmp_path, kind, pooled):
    theirs = random_videomae(kind, tmp_path / "theirs", use_mean_pooling=pooled)
    objective = objective_of(tmp_path / "theirs")
    report = import_checkpoint(tmp_path / "theirs", objective, parts=ENCODERS)
    assert set(report.loaded) == set(ENCODERS)
    assert_same(objective, theirs, clips_of())


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": 4},
        {"image_size": [16, 40], "num_frames": 2},
        {"patch_size": 16, "tubelet_size": 3, "hidden_size": 30, "num_attention_heads": 5},
    ],
)
def test_heads_and_odd_sizes_are_those_of_the_config(tmp_path, changes):
    theirs = random_videomae(VideoMAEModel, tmp_path / "theirs", **changes)
    objective = objective_of(tmp_path / "theirs")
    import_checkpoint(tmp_path / "theirs", objective, parts=ENCODERS)
    size = theirs.config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    clips = clips_of(theirs.config.num_frames, height, width)
    assert_same(objective, theirs, clips)


def test_biases_may_be_named_as_in_memory_and_the_config_be_older(tmp_path):
    theirs = random_videomae(VideoMAEForPreTraining, tmp_path / "theirs")
    save_file(theirs.state_dict(), tmp_path / "theirs" / "model.safetensors")
    assert any(name.endswith(".query.bias") for name in theirs.state_dict())
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())
    config["qkv_bias"] = config.pop("qv_bias")
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config))

    objective = objective_of(tmp_path / "theirs")
    report = import_checkpoint(tmp_path / "theirs", objective, parts=ENCODERS)
    assert report.ignored == ("encoder_to_decoder", "mask_token", "decoder")
    assert_same(objective, theirs, clips_of())


def test_it_comes_back_bit_equal_and_transformers_loads_it(saved, tmp_path):
    objective = objective_of(saved)
    import_checkpoint(saved, objective, parts=ENCODERS)
    report = export_checkpoint(
        objective, tmp_path / "ours", layout="huggingface", clip=ClipSize(6, 32, 32)
    )
    assert report.left_out == ("context_encoder", "predictor")
    before, after = (load_file(d / "model.safetensors") for d in (saved, tmp_path / "ours"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    model, info = VideoMAEModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.num_frames == 6


def test_a_bias_of_keys_which_transformers_lacks_changes_nothing(saved, tmp_path):
    objective = objective_of(saved)
    import_checkpoint(saved, objective, parts=ENCODERS)
    for block in objective.target_encoder.blocks:
        block.attn.qkv.bias.data[48:96] = 0.5
    clip = ClipSize(6, 32, 32)
    export_checkpoint(objective, tmp_path / "ours", layout="huggingface", clip=clip)
    theirs = VideoMAEModel.from_pretrained(tmp_path / "ours").eval()
    assert_same(objective, theirs, clips_of())


def test_clips_of_another_size_are_refused(saved, tmp_path):
    objective = objective_of(saved)
    with pytest.raises(ValueError, match="sincos1d knows clips of 3x4x4 tokens, not of 2x4x4"):
        latents(objective, clips_of(frames=4))
    with pytest.raises(CheckpointError, match=r"position.grid is \(3, 4, 4\); give the size"):
        export_checkpoint(
            objective, tmp_path / "out", layout="huggingface", clip=ClipSize(4, 32, 32)
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "relu"}, "hidden_act: file has 'relu'"),
        ({"qv_bias": False}, "qv_bias: file has False, only True is supported"),
        ({"layer_norm_eps": 1e-3}, "layer_norm_eps: file has 0.001"),
        ({"num_frames": 8}, r"num_frames: file has 8, recipe has 6 \(method.encoder.position.grid"),
        ({"image_size": [32, 40]}, r"image_size: file has \[32, 40\], recipe has 32"),
        ({"use_mean_pooling": False}, "use_mean_pooling: file has False, recipe has True"),
        ({"num_attention_heads": 3}, "num_attention_heads: file has 3, recipe has 2"),
        ({"intermediate_size": 200}, "intermediate_size: file has 200, recipe has 201"),
        ({"model_type": "ijepa"}, "model_type is 'ijepa'"),
    ],
)
def test_another_model_is_named_by_config_key(saved, changes, words):
    objective = objective_of(saved)
    edit_config(saved, **changes)
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint(saved, objective, parts=ENCODERS)


def remove(tensors):
    del tensors["encoder.layer.1.attention.attention.v_bias"]


def add_norm(tensors):
    tensors["layernorm.weight"] = torch.ones(48)


def add_a_bias_of_keys(tensors):
    tensors["encoder.layer.0.attention.attention.key.bias"] = torch.ones(48)


def poison(tensors):
    tensors["encoder.layer.0.attention.attention.q_bias"][3] = torch.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove, r"missing \(1\):\n    encoder.layer.1.attention.attention.v_bias 48"),
        (add_norm, r"extra \(1\):\n    layernorm.weight 48"),
        (add_a_bias_of_keys, r"extra \(1\):\n    encoder.layer.0.attention.attention.key.bias"),
        (poison, "q_bias holds NaN"),
    ],
)
def test_a_file_of_other_tensors_is_refused(saved, change, words):
    edit_weights(saved, change)
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint(saved, objective_of(saved), parts=ENCODERS)


def test_latents_that_are_not_normalised_go_nowhere_but_to_videomae(tmp_path, build_objective):
    objective = build_objective(last_norm="none")
    with pytest.raises(CheckpointError, match="last_norm is none; with position rope3d_vjepa2"):
        export_checkpoint(
            objective, tmp_path / "out", layout="huggingface", clip=ClipSize(4, 32, 32)
        )
