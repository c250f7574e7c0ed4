import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import IJepaConfig, IJepaModel, VJEPA2Config, VJEPA2Model

from worldmodel_train.interop import (
    CheckpointError,
    ClipSize,
    export_checkpoint,
    import_checkpoint,
)
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD
from worldmodel_train.types import Masks

CLIP = ClipSize(frames=4, height=32, width=32)
IMAGE = ClipSize(frames=1, height=32, width=32)
ENCODERS = ("context_encoder", "target_encoder")


def pixels(clips):
    """What transformers takes: normalised floats, channels before height."""
    normal = (clips / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return normal.movedim(-1, 2)


def random_vjepa2(directory):
    torch.manual_seed(1)
    config = VJEPA2Config(
        patch_size=8,
        crop_size=32,
        frames_per_clip=4,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=4.363636363636363,
        pred_hidden_size=24,
        pred_num_hidden_layers=2,
        pred_num_attention_heads=2,
        pred_num_mask_tokens=2,
    )
    model = VJEPA2Model(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(directory)
    return model


@pytest.fixture
def exported(tmp_path, build_objective):
    """A directory with an exported V-JEPA 2, to be damaged."""
    export_checkpoint(build_objective(), tmp_path / "out", layout="huggingface", clip=CLIP)
    return tmp_path / "out"


def edit_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(directory, change):
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")


def test_transformers_loads_an_export_and_computes_the_same(tmp_path, build_objective, clips):
    objective = build_objective()
    report = export_checkpoint(objective, tmp_path / "out", layout="huggingface", clip=CLIP)
    theirs, info = VJEPA2Model.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert report.written == ("target_encoder", "predictor")
    assert report.left_out == ("context_encoder",)

    index = torch.arange(32).repeat(2, 1)
    context, target = index[:, ::3].contiguous(), index[:, 1::3].contiguous()
    with torch.no_grad():
        (latents,) = objective.target_encoder(clips())
        # transformers drops context tokens after the encoder, so ours must here, too
        masks = Masks(context_index=context, target_index=target[:, None])
        (predicted,) = objective.predictor(
            [gather_tokens(latents, context)], [masks], objective.token_grid(clips()), [1]
        )
        output = theirs.eval()(pixels(clips()), context_mask=[context], target_mask=[target])
        # its predictor uses mask token 1, as it does for a call with one mask
    torch.testing.assert_close(output.last_hidden_state, latents, rtol=1e-5, atol=1e-5)
    theirs_predicted = output.predictor_output.last_hidden_state
    torch.testing.assert_close(theirs_predicted, predicted[:, 0], rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_transformers_comes_back_bit_equal(tmp_path, build_objective, clips):
    theirs = random_vjepa2(tmp_path / "theirs")
    objective = build_objective()
    report = import_checkpoint(tmp_path / "theirs", objective)
    assert report.loaded == {
        "context_encoder": "encoder",
        "target_encoder": "encoder",
        "predictor": "predictor",
    }
    with torch.no_grad():
        (latents,) = objective.context_encoder(clips())
        expected = theirs(pixels(clips()), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(latents, expected, rtol=1e-5, atol=1e-5)
    export_checkpoint(objective, tmp_path / "ours", layout="huggingface", clip=CLIP)
    before, after = (load_file(tmp_path / d / "model.safetensors") for d in ("theirs", "ours"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_our_export_comes_back_bit_equal(exported, build_objective):
    source, other = build_objective(), build_objective(seed=5)
    import_checkpoint(exported, other)
    for part in ("context_encoder", "target_encoder", "predictor"):
        original = source.target_encoder if "encoder" in part else source.predictor
        state = getattr(other, part).state_dict()
        assert all(torch.equal(state[k], v) for k, v in original.state_dict().items())


def test_ijepa_goes_to_transformers_and_back(tmp_path, build_objective, clips):
    objective = build_objective("sincos2d")
    report = export_checkpoint(objective, tmp_path / "out", layout="huggingface", clip=IMAGE)
    assert report.left_out == ("context_encoder", "predictor")
    theirs, info = IJepaModel.from_pretrained(
        tmp_path / "out", add_pooling_layer=False, output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    images = clips(frames=1)
    with torch.no_grad():
        (latents,) = objective.target_encoder(images)
        expected = theirs.eval()(pixels(images)[:, 0]).last_hidden_state
    torch.testing.assert_close(latents, expected, rtol=1e-5, atol=1e-5)

    other = build_objective("sincos2d", seed=3)
    report = import_checkpoint(tmp_path / "out", other, parts=ENCODERS)
    assert report.untouched == ("predictor",)
    assert "the model.embeddings.position_embeddings" in report.ignored
    state = other.context_encoder.state_dict()
    assert all(torch.equal(state[k], v) for k, v in objective.target_encoder.state_dict().items())


def test_learned_positions_of_transformers_are_refused(tmp_path, build_objective):
    config = IJepaConfig(
        image_size=32,
        patch_size=8,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=209,
    )
    IJepaModel(config).save_pretrained(tmp_path / "theirs")
    with pytest.raises(CheckpointError, match="position_embeddings is not the fixed sine-cosine"):
        import_checkpoint(tmp_path / "theirs", build_objective("sincos2d"), parts=ENCODERS)


def test_a_missing_predictor_must_be_asked_for(tmp_path, build_objective):
    export_checkpoint(
        build_objective("sincos2d"), tmp_path / "out", layout="huggingface", clip=IMAGE
    )
    with pytest.raises(CheckpointError, match="holds no predictor; leave it out of the parts"):
        import_checkpoint(tmp_path / "out", build_objective("sincos2d"))


@pytest.mark.parametrize(
    ("position", "words"),
    [("rope3d", "the correct rotation.*would compute"), ("sincos3d", "no model with position")],
)
def test_positions_that_transformers_lacks_are_refused(tmp_path, build_objective, position, words):
    with pytest.raises(CheckpointError, match=words):
        export_checkpoint(
            build_objective(position), tmp_path / "out", layout="huggingface", clip=CLIP
        )
    assert not (tmp_path / "out").exists()


def test_released_weights_are_not_read_into_the_correct_rotation(exported, build_objective):
    with pytest.raises(CheckpointError, match="rope3d_vjepa2"):
        import_checkpoint(exported, build_objective("rope3d"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": 3}, r"num_hidden_layers: file has 2, recipe has 3 \(method.encoder.size"),
        ({"heads": 4}, "num_attention_heads: file has 2, recipe has 4"),
        ({"mask_tokens": 10}, "pred_num_mask_tokens: file has 2, recipe has 10"),
    ],
)
def test_another_model_is_named_by_config_key_and_recipe_key(
    exported, build_objective, changes, words
):
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint(exported, build_objective(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "relu"}, "hidden_act: file has 'relu'"),
        ({"layer_norm_eps": 1e-3}, "layer_norm_eps: file has 0.001"),
        ({"model_type": "vit"}, "model_type is 'vit'"),
        ({"hidden_size": None}, "hidden_size: file has None"),
    ],
)
def test_a_config_of_another_computation_is_refused(exported, build_objective, changes, words):
    edit_config(exported, **changes)
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint(exported, build_objective())


def remove(tensors):
    del tensors["encoder.layer.1.attention.key.bias"]


def add(tensors):
    tensors["encoder.layer.2.norm1.weight"] = torch.ones(48)


def add_stranger(tensors):
    tensors["classifier.weight"] = torch.ones(3, 48)


def reshape(tensors):
    tensors["predictor.proj.weight"] = torch.ones(48, 23)


def poison(tensors):
    tensors["predictor.proj.bias"][3] = torch.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove, r"missing \(1\):\n    layer.1.attention.key.bias 48"),
        (add, r"extra \(1\):\n    layer.2.norm1.weight 48"),
        (add_stranger, r"extra \(1\):\n    classifier.weight 3x48"),
        (reshape, "proj.weight: file has 48x23, model needs 48x24"),
        (poison, "predictor.proj.bias holds NaN"),
    ],
)
def test_every_load_is_strict_and_all_or_nothing(exported, build_objective, change, words):
    edit_weights(exported, change)
    objective = build_objective(seed=9)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint(exported, objective)
    assert all(torch.equal(before[k], v) for k, v in objective.state_dict().items())


def test_a_truncated_file_is_refused(exported, build_objective):
    path = exported / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        import_checkpoint(exported, build_objective())


def test_a_header_that_promises_too_much_is_refused(exported, build_objective):
    size = 1 << 42
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"encoder.layernorm.weight": entry}).encode()
    (exported / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        import_checkpoint(exported, build_objective())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is nested deeper than 64 levels"),
        (b"[]", "is not a JSON object"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"9" * 5000, "a whole number of 5000 digits"),
    ],
)
def test_a_config_that_is_no_json_is_refused(exported, build_objective, text, words):
    (exported / "config.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=rf"config\.json: {words}"):
        import_checkpoint(exported, build_objective())


def test_nothing_is_overwritten(exported, build_objective):
    with pytest.raises(CheckpointError, match="exists; remove it"):
        export_checkpoint(build_objective(), exported, layout="huggingface", clip=CLIP)


def test_a_clip_of_broken_tubelets_is_refused(tmp_path, build_objective):
    with pytest.raises(CheckpointError, match="do not split into tubelets of 2 frames of 8 px"):
        export_checkpoint(
            build_objective(), tmp_path / "out", layout="huggingface", clip=ClipSize(5, 32, 32)
        )


def test_images_that_are_not_square_give_the_same_latents_in_transformers(
    tmp_path, build_objective
):
    objective = build_objective("sincos2d")
    wide = ClipSize(frames=1, height=16, width=40)
    export_checkpoint(objective, tmp_path / "out", layout="huggingface", clip=wide)
    theirs = IJepaModel.from_pretrained(tmp_path / "out", add_pooling_layer=False).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, *wide, 3), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        (latents,) = objective.target_encoder(images)
        expected = theirs(pixels(images)[:, 0]).last_hidden_state
    torch.testing.assert_close(latents, expected, rtol=1e-5, atol=1e-5)
    import_checkpoint(tmp_path / "out", build_objective("sincos2d", seed=3), parts=ENCODERS)


def test_video_models_of_transformers_take_squares_alone(tmp_path, build_objective):
    wide = ClipSize(frames=4, height=16, width=40)
    with pytest.raises(CheckpointError, match="misplace tokens of clips of 16x40 px"):
        export_checkpoint(build_objective(), tmp_path / "out", layout="huggingface", clip=wide)


def test_a_path_that_is_not_there_names_both_layouts(tmp_path, build_objective):
    with pytest.raises(CheckpointError, match=r"does not exist; give a directory.*\.pt file"):
        import_checkpoint(tmp_path / "nothing", build_objective())
