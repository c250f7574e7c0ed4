"""From the `config.json` of transformers to the fields of a recipe's method, and its clips."""

from collections.abc import Mapping
from pathlib import Path

from worldmodel_train.interop.huggingface import CONFIG, read_config
from worldmodel_train.interop.huggingface_config import mlp_ratio
from worldmodel_train.interop.position_table import ClipSize
from worldmodel_train.models.strict_state import CheckpointError

Fields = dict[str, object]


def method_of_config(directory: Path | str) -> Fields:
    """The `encoder` and, if there is one, `predictor` with which this checkpoint can be imported.

    Values are as the file has them: the recipe's own checks judge them.
    """
    path = Path(directory) / CONFIG
    config = read_config(path)
    match config.get("model_type"):
        case "vjepa2":
            return {"encoder": _video_encoder(config), "predictor": _predictor(config)}
        case "ijepa":
            return {"encoder": _image_encoder(config)}
        case "videomae":
            return {"encoder": _videomae_encoder(config, path, clip_of_config(directory))}
        case other:
            raise CheckpointError(
                f"{path}: model_type is {other!r}; only vjepa2, ijepa and videomae are known"
            )


def clip_of_config(directory: Path | str) -> ClipSize:
    """The clips that the model was made for; an image is a clip of one frame.

    Raises:
        CheckpointError: The config does not say it in whole numbers.
    """
    path = Path(directory) / CONFIG
    config = read_config(path)
    match config.get("model_type"):
        case "ijepa":
            frames, size = 1, config.get("image_size")
        case "videomae":
            frames, size = config.get("num_frames"), config.get("image_size")
        case _:
            frames, size = config.get("frames_per_clip"), config.get("crop_size")
    sides = size if isinstance(size, list) else [size, size]
    match [frames, *sides]:
        case [int(length), int(height), int(width)] if min(length, height, width) > 0:
            return ClipSize(frames=length, height=height, width=width)
        case _:
            raise CheckpointError(
                f"{path} has clips of {frames!r} frames of {size!r} pixels; it must have whole "
                "numbers, under frames_per_clip and crop_size, or num_frames and image_size"
            )


def _video_encoder(config: Mapping[str, object]) -> Fields:
    return {
        "size": {
            "width": config.get("hidden_size"),
            "depth": config.get("num_hidden_layers"),
            "heads": config.get("num_attention_heads"),
            "mlp_ratio": config.get("mlp_ratio"),
        },
        "patch": config.get("patch_size"),
        "tubelet": config.get("tubelet_size"),
        "position": {"name": "rope3d_vjepa2"},
    }


def _predictor(config: Mapping[str, object]) -> Fields:
    return {
        "width": config.get("pred_hidden_size"),
        "depth": config.get("pred_num_hidden_layers"),
        "heads": config.get("pred_num_attention_heads"),
        "mlp_ratio": config.get("pred_mlp_ratio"),
        "mask_tokens": config.get("pred_num_mask_tokens"),
    }


def _videomae_encoder(config: Mapping[str, object], path: Path, clip: ClipSize) -> Fields:
    patch, tubelet = config.get("patch_size"), config.get("tubelet_size")
    pooled = config.get("use_mean_pooling")
    if not isinstance(pooled, bool):
        raise CheckpointError(f"{path}: use_mean_pooling is {pooled!r}; it must be true or false")
    if not isinstance(patch, int) or not isinstance(tubelet, int) or min(patch, tubelet) < 1:
        raise CheckpointError(
            f"{path} has patch_size={patch!r} and tubelet_size={tubelet!r}; both must be whole "
            "numbers"
        )
    return {
        **_vit(config),
        "patch": patch,
        "tubelet": tubelet,
        "position": {
            "name": "sincos1d",
            "grid": list(clip.grid(patch=patch, tubelet=tubelet)),
        },
        "last_norm": "none" if pooled else "layer_norm",
    }


def _image_encoder(config: Mapping[str, object]) -> Fields:
    return {
        **_vit(config),
        "patch": config.get("patch_size"),
        "tubelet": 1,
        "position": {"name": "sincos2d"},
    }


def _vit(config: Mapping[str, object]) -> Fields:
    """The size of a model whose config has the MLP's width itself."""
    width, hidden = config.get("hidden_size"), config.get("intermediate_size")
    if not isinstance(width, int) or not isinstance(hidden, int) or width < 1:
        raise CheckpointError(
            f"config.json has hidden_size={width!r} and intermediate_size={hidden!r}; "
            "both must be whole numbers"
        )
    return {
        "size": {
            "width": width,
            "depth": config.get("num_hidden_layers"),
            "heads": config.get("num_attention_heads"),
            "mlp_ratio": mlp_ratio(width, hidden),
        }
    }
