"""The `config.json` of transformers that describes one of our models."""

from collections.abc import Mapping
from pathlib import Path

from worldmodel_train.interop.objective_parts import Parts, has_swiglu, size_of
from worldmodel_train.interop.position_table import ClipSize
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.multilevel_vit import MultilevelVisionTransformer
from worldmodel_train.models.sincos import SinCos1d
from worldmodel_train.models.strict_state import CheckpointError

Config = dict[str, object]

EPSILON = 1e-6

_GRID = "method.encoder.position.grid"
RECIPE_KEYS: Mapping[str, str] = {
    "hidden_size": "method.encoder.size (width)",
    "num_hidden_layers": "method.encoder.size (depth)",
    "num_attention_heads": "method.encoder.size (heads)",
    "mlp_ratio": "method.encoder.size (mlp_ratio)",
    "intermediate_size": "method.encoder.size (mlp_ratio)",
    "patch_size": "method.encoder.patch",
    "tubelet_size": "method.encoder.tubelet",
    "pred_hidden_size": "method.predictor.width",
    "pred_num_hidden_layers": "method.predictor.depth",
    "pred_num_attention_heads": "method.predictor.heads",
    "pred_mlp_ratio": "method.predictor.mlp_ratio",
    "pred_num_mask_tokens": "method.predictor.mask_tokens",
    "num_frames": _GRID,
    "image_size": _GRID,
    "use_mean_pooling": "method.encoder.last_norm, none where it is true",
}


def model_type_of(parts: Parts) -> str:
    """Which model of transformers computes what ours does."""
    encoder = parts.target_encoder
    if has_swiglu(parts):
        raise CheckpointError(
            "transformers has no SwiGLU in these models (mlp: swiglu); use Meta's layout"
        )
    if isinstance(encoder, MultilevelVisionTransformer):
        raise CheckpointError(
            "transformers has no V-JEPA 2.1, which is read at four depths; use Meta's layout"
        )
    if encoder.position.name != "sincos1d" and not isinstance(encoder.norm, LastNorm):
        raise CheckpointError(
            f"method.encoder.last_norm is none; with position {encoder.position.name} transformers "
            "has only models that normalise their latents"
        )
    match encoder.position.name:
        case "rope3d_vjepa2":
            return "vjepa2"
        case "sincos2d" if encoder.patch_embed.tubelet == 1:
            return "ijepa"
        case "sincos1d":
            return "videomae"
        case "rope3d":
            raise CheckpointError(
                "method.encoder.position is rope3d, the correct rotation; VJEPA2Model of "
                "transformers rotates as the released V-JEPA 2 does and would compute something "
                "else from the same weights. Only position: {name: rope3d_vjepa2} fits it"
            )
        case name:
            raise CheckpointError(
                f"transformers has no model with position {name} and "
                f"tubelet={encoder.patch_embed.tubelet}; it has rope3d_vjepa2 (VJEPA2Model), "
                "sincos1d (VideoMAEModel), and sincos2d with tubelet: 1 (IJepaModel)"
            )


def config_of(parts: Parts, clip: ClipSize) -> Config:
    """The config with which transformers builds the same model for clips of this size."""
    match model_type_of(parts):
        case "ijepa":
            return _ijepa(parts, clip)
        case "videomae":
            return _videomae(parts, clip)
        case _:
            return _vjepa2(parts, clip)


def check_config(path: Path, config: Mapping[str, object], parts: Parts) -> None:
    """Raise an error that names each value of `config` that is not the model's."""
    model_type = model_type_of(parts)
    if config.get("model_type") != model_type:
        raise CheckpointError(
            f"{path}: model_type is {config.get('model_type')!r}, but a model with position "
            f"{parts.target_encoder.position.name} is {model_type!r} in transformers; "
            "take the other recipe, or set method.encoder.position"
        )
    config, ours = _in_new_words(config), _compared(parts)
    wrong = [
        f"    {key}: file has {config.get(key)!r}, recipe has {ours[key]!r} ({where})"
        for key, where in RECIPE_KEYS.items()
        if key in ours and not _agree(key, config.get(key), ours)
    ]
    wrong += [
        f"    {key}: file has {config.get(key)!r}, only {ours[key]!r} is supported"
        for key in ("hidden_act", "qkv_bias", "qv_bias")
        if key in ours and config.get(key) != ours[key]
    ]
    epsilon = config.get("layer_norm_eps")
    # smaller is harmless: some I-JEPA configs say 1e-12 of weights trained with 1e-6
    if not isinstance(epsilon, float) or epsilon > EPSILON:
        wrong.append(f"    layer_norm_eps: file has {epsilon!r}, only {EPSILON} is supported")
    if wrong:
        raise CheckpointError(
            f"{path} describes another model than the recipe:\n" + "\n".join(wrong)
        )


def _compared(parts: Parts) -> Config:
    """Our config without what clips of any size may have; a counted grid is of one size."""
    embed, position = parts.target_encoder.patch_embed, parts.target_encoder.position
    if not isinstance(position, SinCos1d):
        ours = config_of(parts, ClipSize(frames=1, height=1, width=1))
        return {key: value for key, value in ours.items() if key != "image_size"}
    frames, height, width = position.grid
    clip = ClipSize(frames * embed.tubelet, height * embed.patch, width * embed.patch)
    return config_of(parts, clip)


def _in_new_words(config: Mapping[str, object]) -> Mapping[str, object]:
    """What transformers called qkv_bias up to version 4 is qv_bias in VideoMAE."""
    if config.get("model_type") == "videomae" and "qkv_bias" in config:
        return {"qv_bias": config["qkv_bias"], **config}
    return config


def _agree(key: str, value: object, ours: Mapping[str, object]) -> bool:
    if key == "image_size":
        return _sides(value) == _sides(ours[key])
    if not key.endswith("mlp_ratio"):
        return value == ours[key]
    width, ratio = ours[key.replace("mlp_ratio", "hidden_size")], ours[key]
    assert isinstance(width, int)
    assert isinstance(ratio, float)
    # 48/11 may be written with any number of digits; only the width that it makes counts
    return isinstance(value, int | float) and round(width * value) == round(width * ratio)


def _vjepa2(parts: Parts, clip: ClipSize) -> Config:
    if clip.height != clip.width:
        raise CheckpointError(
            "VJEPA2Model of transformers counts positions in squares and would misplace tokens "
            f"of clips of {clip.height}x{clip.width} px; use layout merged or meta"
        )
    encoder, predictor = size_of(parts.target_encoder), size_of(parts.predictor)
    embed = parts.target_encoder.patch_embed
    return {
        "architectures": ["VJEPA2Model"],
        "model_type": "vjepa2",
        "dtype": "float32",
        "patch_size": embed.patch,
        "tubelet_size": embed.tubelet,
        "crop_size": clip.height,
        "frames_per_clip": clip.frames,
        "in_chans": 3,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "mlp_ratio": mlp_ratio(encoder.width, encoder.mlp_width),
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": EPSILON,
        "pred_hidden_size": predictor.width,
        "pred_num_hidden_layers": predictor.depth,
        "pred_num_attention_heads": predictor.heads,
        "pred_mlp_ratio": mlp_ratio(predictor.width, predictor.mlp_width),
        "pred_num_mask_tokens": len(parts.predictor.mask_tokens),
        "pred_zero_init_mask_tokens": True,
    }


def _ijepa(parts: Parts, clip: ClipSize) -> Config:
    encoder = size_of(parts.target_encoder)
    return {
        "architectures": ["IJepaModel"],
        "model_type": "ijepa",
        "dtype": "float32",
        "image_size": _image_size(clip),
        "patch_size": parts.target_encoder.patch_embed.patch,
        "num_channels": 3,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "intermediate_size": encoder.mlp_width,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": EPSILON,
    }


def _videomae(parts: Parts, clip: ClipSize) -> Config:
    encoder, embed = size_of(parts.target_encoder), parts.target_encoder.patch_embed
    return {
        "architectures": ["VideoMAEModel"],
        "model_type": "videomae",
        "dtype": "float32",
        "image_size": _image_size(clip),
        "patch_size": embed.patch,
        "num_channels": 3,
        "num_frames": clip.frames,
        "tubelet_size": embed.tubelet,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.heads,
        "intermediate_size": encoder.mlp_width,
        "hidden_act": "gelu",
        "qv_bias": True,
        "layer_norm_eps": EPSILON,
        "use_mean_pooling": not isinstance(parts.target_encoder.norm, LastNorm),
    }


def _image_size(clip: ClipSize) -> int | list[int]:
    return clip.height if clip.height == clip.width else [clip.height, clip.width]


def _sides(image_size: object) -> object:
    return [image_size, image_size] if isinstance(image_size, int) else image_size


def mlp_ratio(width: int, mlp_width: int) -> float:
    """The ratio for which int(width * ratio) is the MLP's width."""
    ratio = mlp_width / width
    return ratio if int(width * ratio) == mlp_width else (mlp_width + 0.5) / width
