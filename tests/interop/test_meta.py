import pytest
import torch

from worldmodel_train.interop import (
    CheckpointError,
    ClipSize,
    export_checkpoint,
    import_checkpoint,
)

CLIP = ClipSize(frames=4, height=32, width=32)
IMAGE = ClipSize(frames=1, height=32, width=32)
PARTS = ("context_encoder", "target_encoder", "predictor")


def clip_of(position):
    return IMAGE if position == "sincos2d" else CLIP


@pytest.fixture
def exported(tmp_path, build_objective):
    """A file with an exported V-JEPA 2."""
    path = tmp_path / "out.pt"
    export_checkpoint(build_objective(), path, layout="meta", clip=CLIP)
    return path


def edit(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def same_weights(module, other):
    state = module.state_dict()
    return all(torch.equal(state[name], tensor) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("position", ["rope3d_vjepa2", "sincos2d", "sincos3d"])
def test_a_round_trip_is_bit_equal_in_all_parts(tmp_path, build_objective, position):
    source, other = build_objective(position), build_objective(position, seed=7)
    report = export_checkpoint(source, tmp_path / "out.pt", layout="meta", clip=clip_of(position))
    assert report.left_out == ()
    report = import_checkpoint(tmp_path / "out.pt", other)
    assert report.loaded == {
        "context_encoder": "encoder",
        "target_encoder": "target_encoder",
        "predictor": "predictor",
    }
    for part in PARTS:
        assert same_weights(getattr(source, part), getattr(other, part))


def test_names_and_shapes_are_those_of_the_released_video_files(exported):
    content = torch.load(exported, weights_only=True)
    assert set(content) >= {"encoder", "target_encoder", "predictor", "opt", "scaler", "epoch"}
    encoder, predictor = content["encoder"], content["predictor"]
    assert all(name.startswith("module.backbone.") for name in [*encoder, *predictor])
    assert encoder["module.backbone.patch_embed.proj.weight"].shape == (48, 3, 2, 8, 8)
    assert encoder["module.backbone.blocks.1.attn.qkv.weight"].shape == (144, 48)
    assert predictor["module.backbone.predictor_embed.weight"].shape == (24, 48)
    assert predictor["module.backbone.mask_tokens.1"].shape == (1, 1, 24)
    assert "module.backbone.pos_embed" not in encoder


def test_names_and_shapes_are_those_of_the_released_image_files(tmp_path, build_objective):
    export_checkpoint(build_objective("sincos2d"), tmp_path / "out.pt", layout="meta", clip=IMAGE)
    content = torch.load(tmp_path / "out.pt", weights_only=True)
    assert content["encoder"]["module.patch_embed.proj.weight"].shape == (48, 3, 8, 8)
    assert content["encoder"]["module.pos_embed"].shape == (1, 16, 48)
    assert content["predictor"]["module.predictor_pos_embed"].shape == (1, 16, 24)
    assert content["predictor"]["module.mask_token"].shape == (1, 1, 24)


def test_a_swiglu_has_the_released_names_and_comes_back_bit_equal(tmp_path, build_objective):
    source, other = (build_objective(mlp="swiglu", seed=seed) for seed in (0, 7))
    export_checkpoint(source, tmp_path / "out.pt", layout="meta", clip=CLIP)
    content = torch.load(tmp_path / "out.pt", weights_only=True)
    encoder, predictor = content["encoder"], content["predictor"]
    hidden = 144  # two thirds of 209 are 139, and the next multiple of 8 is 144
    assert encoder["module.backbone.blocks.1.mlp.fc2.weight"].shape == (hidden, 48)
    assert encoder["module.backbone.blocks.1.mlp.fc3.weight"].shape == (48, hidden)
    assert predictor["module.backbone.predictor_blocks.0.mlp.fc3.weight"].shape == (24, 64)
    import_checkpoint(tmp_path / "out.pt", other)
    for part in PARTS:
        assert same_weights(getattr(source, part), getattr(other, part))
    with pytest.raises(CheckpointError, match=r"mlp\.fc3"):
        import_checkpoint(tmp_path / "out.pt", build_objective())
    with pytest.raises(CheckpointError, match="no SwiGLU"):
        export_checkpoint(source, tmp_path / "hf", layout="huggingface", clip=CLIP)


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_prefixes_of_wrappers_do_not_matter(exported, build_objective, prefix):
    def rename(content):
        for key in ("encoder", "target_encoder", "predictor"):
            content[key] = {
                prefix + name.removeprefix("module.backbone."): tensor
                for name, tensor in content[key].items()
            }

    edit(exported, rename)
    other = build_objective(seed=4)
    import_checkpoint(exported, other)
    assert same_weights(build_objective().target_encoder, other.target_encoder)


def test_a_released_backbone_without_target_encoder_fills_both(exported, build_objective):
    edit(exported, lambda content: content.pop("target_encoder"))
    other = build_objective(seed=4)
    report = import_checkpoint(exported, other)
    assert report.loaded["target_encoder"] == "encoder"
    assert same_weights(build_objective().context_encoder, other.target_encoder)
    assert "target_encoder <- encoder (meta)" in str(report)
    assert "opt" in report.ignored


def test_half_precision_files_are_read_into_fp32(exported, build_objective):
    def halve(content):
        content["encoder"] = {k: v.bfloat16() for k, v in content["encoder"].items()}

    edit(exported, halve)
    other = build_objective(seed=4)
    import_checkpoint(exported, other)
    weight = other.context_encoder.norm.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, build_objective().context_encoder.norm.weight.bfloat16().float())


@pytest.mark.parametrize("position", ["rope3d_vjepa2", "sincos3d"])
def test_a_stored_sine_cosine_table_may_be_there(tmp_path, build_objective, position):
    path = tmp_path / "out.pt"
    export_checkpoint(build_objective("sincos3d"), path, layout="meta", clip=CLIP)
    report = import_checkpoint(path, build_objective(position, seed=4))
    assert {"encoder.pos_embed", "predictor.predictor_pos_embed"} <= set(report.ignored)


def test_another_position_table_is_refused(tmp_path, build_objective):
    path = tmp_path / "out.pt"
    export_checkpoint(build_objective("sincos3d"), path, layout="meta", clip=CLIP)
    edit(path, lambda content: content["encoder"]["module.backbone.pos_embed"].mul_(1.1))
    for position in ("rope3d_vjepa2", "sincos3d"):
        with pytest.raises(CheckpointError, match="pos_embed is not the fixed sine-cosine table"):
            import_checkpoint(path, build_objective(position))


def test_a_wrong_depth_is_an_error_with_few_lines(exported, build_objective):
    """The silent partial load that users of the released code lost days to."""
    with pytest.raises(CheckpointError) as error:
        import_checkpoint(exported, build_objective(depth=3))
    message = str(error.value)
    assert "does not fit the model" in message
    assert "missing (12):" in message
    assert "blocks.2.norm1.weight 48" in message
    assert "... and 4 more" in message
    assert len(message.splitlines()) < 30


@pytest.mark.parametrize("position", ["rope3d"])
def test_the_correct_rotation_is_not_exchanged(tmp_path, exported, build_objective, position):
    with pytest.raises(CheckpointError, match="would compute something else"):
        import_checkpoint(exported, build_objective(position))
    with pytest.raises(CheckpointError, match="would compute something else"):
        export_checkpoint(build_objective(position), tmp_path / "o.pt", layout="meta", clip=CLIP)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {}}, "none of the keys encoder"),
        ({"encoder": 3}, "encoder is a int"),
        ({"encoder": {"norm.weight": 1.0}}, "norm.weight is a float, no tensor"),
        (
            {"encoder": {"module.a": torch.ones(1), "a": torch.ones(1)}},
            "holds a twice, under two prefixes",
        ),
    ],
)
def test_other_content_is_refused(tmp_path, build_objective, content, words):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint(tmp_path / "other.pt", build_objective())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(1, 10**9, 48),
        torch.eye(3).to_sparse(),
        torch.empty(1, 10**9, 48, device="meta"),
    ],
    ids=["repeated", "sparse", "meta"],
)
def test_a_tensor_that_is_larger_than_its_bytes_is_refused(exported, build_objective, tensor):
    content = torch.load(exported, weights_only=True)
    content["encoder"]["module.backbone.pos_embed"] = tensor
    torch.save(content, exported)
    with pytest.raises(CheckpointError, match=r"pos_embed promises .*, more than it holds"):
        import_checkpoint(exported, build_objective())


def test_several_mask_tokens_do_not_fit_metas_ijepa(tmp_path, build_objective):
    objective = build_objective("sincos2d", mask_tokens=2)
    with pytest.raises(CheckpointError, match="only mask_tokens: 1 can be exported"):
        export_checkpoint(objective, tmp_path / "out.pt", layout="meta", clip=IMAGE)


def test_an_objective_without_encoders_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="Linear has no two encoders"):
        export_checkpoint(torch.nn.Linear(1, 1), tmp_path / "o.pt", layout="meta", clip=CLIP)
