"""From the `config.json` of transformers to the fields of a recipe's method."""

from collections.abc import Mapping
from pathlib import Path

from worldmodel_train.interop.huggingface import CONFIG, read_config
from worldmodel_train.interop.huggingface_config import mlp_ratio
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
        case other:
            raise CheckpointError(
                f"{path}: model_type is {other!r}; only vjepa2 and ijepa are known"
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


def _image_encoder(config: Mapping[str, object]) -> Fields:
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
        },
        "patch": config.get("patch_size"),
        "tubelet": 1,
        "position": {"name": "sincos2d"},
    }
