"""Meta's `.pt` files: a dictionary of state dicts, `{encoder, target_encoder, predictor, ...}`.

The names in them begin with `module.` (DDP) and, for video, `backbone.` (a wrapper for several
masks).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from worldmodel_train.interop import torch_file
from worldmodel_train.interop.foreign import Foreign, Section
from worldmodel_train.interop.naming import (
    META_IMAGE,
    META_MULTILEVEL,
    META_VIDEO,
    Naming,
)
from worldmodel_train.interop.objective_parts import ALL_PARTS, Part, Parts
from worldmodel_train.interop.position_table import ClipSize
from worldmodel_train.models.multilevel_vit import MultilevelVisionTransformer
from worldmodel_train.models.rope import Rope3dInterpolated
from worldmodel_train.models.strict_state import CheckpointError

KEYS: Mapping[Part, str] = {
    "context_encoder": "encoder",
    "target_encoder": "target_encoder",
    "predictor": "predictor",
}
ALIASES: Mapping[str, str] = {"target_encoder": "ema_encoder"}
"""What the distilled V-JEPA 2.1 files call it."""
PREFIXES = ("module.", "backbone.")


def read(path: Path, parts: Parts) -> Foreign:
    """The checkpoint in a file; tensors stay on disk until they are read."""
    naming = naming_of(parts)
    content = torch_file.load(path)
    titles: dict[Part, str] = {part: _title(key, content) for part, key in KEYS.items()}
    sections: dict[Part, Section] = {
        part: section_of(path, title, content[title])
        for part, title in titles.items()
        if title in content
    }
    if not sections:
        raise CheckpointError(
            f"{path} has none of the keys {', '.join(KEYS.values())}, but "
            f"{', '.join(map(str, content)) or 'nothing'}; it is not one of Meta's checkpoints"
        )
    return Foreign(
        path=path,
        layout="meta",
        naming=naming,
        sections=sections,
        ignored=tuple(str(key) for key in content if key not in titles.values()),
    )


def write(path: Path, parts: Parts, clip: ClipSize) -> tuple[Part, ...]:
    """The parts written, which are all; the optimizer's state is not among them."""
    naming = naming_of(parts)
    if naming is META_IMAGE and len(parts.predictor.mask_tokens) != 1:
        raise CheckpointError(
            f"method.predictor.mask_tokens={len(parts.predictor.mask_tokens)}, but Meta's I-JEPA "
            "has one mask token; only mask_tokens: 1 can be exported"
        )
    prefix = "module." if naming is META_IMAGE else "module.backbone."
    content: dict[str, object] = {
        key: {prefix + name: tensor for name, tensor in naming.tensors(part, parts, clip).items()}
        for part, key in KEYS.items()
    }
    content |= {"opt": None, "scaler": None, "epoch": 0, "loss": 0.0}
    content |= {"batch_size": 0, "world_size": 0, "lr": 0.0}
    save(path, content)
    return ALL_PARTS


def save(path: Path, content: Mapping[str, object]) -> None:
    """Write it all, or nothing."""
    part_path = path.with_name(f"{path.name}.part")
    torch.save(content, part_path)
    part_path.replace(path)


def naming_of(parts: Parts) -> Naming:
    """Meta's names for this model: I-JEPA's, V-JEPA's or V-JEPA 2.1's."""
    if isinstance(parts.target_encoder, MultilevelVisionTransformer):
        return _multilevel(parts.target_encoder)
    match parts.target_encoder.position.name:
        case "sincos2d":
            return META_IMAGE
        case "sincos3d" | "rope3d_vjepa2":
            return META_VIDEO
        case name:
            raise CheckpointError(
                f"method.encoder.position is {name}; Meta's released code places tokens "
                "otherwise and would compute something else from the same weights. Only "
                "rope3d_vjepa2 (V-JEPA 2), sincos3d (V-JEPA) and sincos2d (I-JEPA) fit it"
            )


def _multilevel(encoder: MultilevelVisionTransformer) -> Naming:
    position = encoder.position
    if isinstance(position, Rope3dInterpolated) and position == Rope3dInterpolated():
        return META_MULTILEVEL
    raise CheckpointError(
        f"method.encoder.position is {position!r}; Meta's V-JEPA 2.1 places tokens otherwise and "
        f"would compute something else from the same weights; use {Rope3dInterpolated()!r}"
    )


def _title(key: str, content: Mapping[str, object]) -> str:
    """What the file calls a part."""
    alias = ALIASES.get(key, key)
    return alias if key not in content and alias in content else key


def section_of(path: Path, key: str, state: object) -> Section:
    """The tensors under one of a file's keys; raises CheckpointError where others are there."""
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: {key} is a {type(state).__name__}, not a state dict")
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = _without_prefixes(str(name))
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path}: {key}.{name} is a {type(tensor).__name__}, no tensor")
        if not _is_whole(tensor):
            raise CheckpointError(
                f"{path}: {key}.{name} promises {tuple(tensor.shape)} values, more than it holds; "
                "the checkpoint is damaged"
            )
        if short in tensors:
            raise CheckpointError(f"{path}: {key} holds {short} twice, under two prefixes")
        tensors[short] = tensor
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Section(title=key, shapes=shapes, read=tensors.__getitem__)


def _is_whole(tensor: Tensor) -> bool:
    """Whether the file holds each of the tensor's values: it may also be sparse, or repeat one."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _without_prefixes(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
