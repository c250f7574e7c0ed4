"""The modules of an objective that other code bases know."""

from typing import Literal, NamedTuple, get_args

from torch import nn

from worldmodel_train.models.class_token_vit import ClassTokenTransformer
from worldmodel_train.models.mlp import SwiGlu
from worldmodel_train.models.predictor import MaskFiller
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.models.vit import VisionTransformer

Part = Literal["context_encoder", "target_encoder", "predictor"]
ALL_PARTS: tuple[Part, ...] = get_args(Part)
ENCODERS: tuple[Part, ...] = ("context_encoder", "target_encoder")


class Parts(NamedTuple):
    """Two encoders of one structure, and the predictor between them."""

    context_encoder: VisionTransformer
    target_encoder: VisionTransformer
    predictor: MaskFiller


def parts_of(objective: nn.Module) -> Parts:
    """The encoders and the predictor of a V-JEPA or I-JEPA."""
    context, target, predictor = (getattr(objective, part, None) for part in ALL_PARTS)
    if isinstance(target, ClassTokenTransformer):
        raise CheckpointError(
            f"{type(objective).__name__} has a class token, and other code's I-JEPA and V-JEPA "
            "have none; use the layout `merged`"
        )
    if (
        isinstance(context, VisionTransformer)
        and isinstance(target, VisionTransformer)
        and isinstance(predictor, MaskFiller)
    ):
        return Parts(context, target, predictor)
    raise CheckpointError(
        f"{type(objective).__name__} has no two encoders and predictor; "
        "only V-JEPA and I-JEPA checkpoints can be exchanged with other code"
    )


class Size(NamedTuple):
    """What fixes the shape of a stack of blocks; heads do not show in any tensor's shape."""

    width: int
    depth: int
    heads: int
    mlp_width: int


def size_of(module: VisionTransformer | MaskFiller) -> Size:
    """The size of the module's stack of blocks."""
    mlp_width, width = module.blocks.get_parameter("0.mlp.fc1.weight").shape
    return Size(width, len(module.blocks), width // module.places.head_width, mlp_width)


def has_swiglu(parts: Parts) -> bool:
    """Whether any part has an MLP of three maps."""
    return any(isinstance(module, SwiGlu) for part in parts for module in part.modules())
