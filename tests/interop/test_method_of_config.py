import json

import pytest

from worldmodel_train.interop import (
    CheckpointError,
    ClipSize,
    clip_of_config,
    export_checkpoint,
    import_checkpoint,
    method_of_config,
)
from worldmodel_train.jepa.vjepa import Config

VIDEOMAE = {
    "model_type": "videomae",
    "num_frames": 4,
    "image_size": 32,
    "patch_size": 8,
    "tubelet_size": 2,
    "use_mean_pooling": True,
}


def test_a_video_method_made_from_a_config_imports_its_weights(tmp_path, build_objective):
    export_checkpoint(
        build_objective(), tmp_path / "out", layout="huggingface", clip=ClipSize(4, 32, 32)
    )
    fields = method_of_config(tmp_path / "out")
    fields["masks"] = [{"name": "multiblock3d"}]
    objective = Config.model_validate(fields).build()
    report = import_checkpoint(tmp_path / "out", objective)
    assert report.untouched == ()


def test_an_image_method_made_from_a_config_imports_its_weights(tmp_path, build_objective):
    export_checkpoint(
        build_objective("sincos2d"),
        tmp_path / "out",
        layout="huggingface",
        clip=ClipSize(1, 32, 32),
    )
    fields = method_of_config(tmp_path / "out")
    fields["predictor"] = {"width": 24, "depth": 1, "heads": 2}
    fields["masks"] = [{"name": "multiblock2d"}]
    objective = Config.model_validate(fields).build()
    parts = ("context_encoder", "target_encoder")
    assert set(import_checkpoint(tmp_path / "out", objective, parts=parts).loaded) == set(parts)


@pytest.mark.parametrize(
    ("config", "clip"),
    [
        ({"model_type": "vjepa2", "frames_per_clip": 64, "crop_size": 256}, (64, 256, 256)),
        ({"model_type": "ijepa", "image_size": 224}, (1, 224, 224)),
        ({"model_type": "ijepa", "image_size": [96, 160]}, (1, 96, 160)),
        ({"model_type": "videomae", "num_frames": 16, "image_size": 224}, (16, 224, 224)),
    ],
)
def test_the_clips_of_a_config_are_those_the_model_was_made_for(tmp_path, config, clip):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert clip_of_config(tmp_path) == clip


def test_a_config_without_the_size_of_clips_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vjepa2", "crop_size": 256}))
    with pytest.raises(CheckpointError, match="clips of None frames of 256 pixels"):
        clip_of_config(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "vit"}, "only vjepa2, ijepa and videomae"),
        ({"model_type": "ijepa", "hidden_size": "x"}, "hidden_size='x'"),
        ({"model_type": "videomae", "num_frames": 4}, "clips of 4 frames of None pixels"),
        (VIDEOMAE | {"use_mean_pooling": None}, "use_mean_pooling is None"),
        (VIDEOMAE | {"tubelet_size": 2.0}, "tubelet_size=2.0"),
    ],
)
def test_other_configs_are_refused(tmp_path, config, words):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=words):
        method_of_config(tmp_path)
