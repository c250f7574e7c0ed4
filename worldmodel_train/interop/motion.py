"""Meta's V-JEPA 2-AC: a `.pt` with a predictor of motion, and the frozen encoder that it is for.

An encoder is a part of a run of its own, which `wmt import --encoder-only` makes of the same file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldmodel_train.interop import meta, torch_file
from worldmodel_train.interop.exporting import ExportReport, new_file
from worldmodel_train.interop.foreign import Section
from worldmodel_train.interop.importing import ImportReport
from worldmodel_train.interop.links import Link, links
from worldmodel_train.interop.naming import META_MOTION
from worldmodel_train.models.frame_causal_predictor import FrameCausalPredictor
from worldmodel_train.models.frozen import HasFrozen
from worldmodel_train.models.strict_state import CheckpointError, differences, refuse_differences
from worldmodel_train.models.vit import VisionTransformer

CAMERA = "extrinsics_encoder"
"""A map of the camera's place that the released predictor holds and does not use."""
CAMERA_NUMBERS = 6
TABLE = "pos_embed"
"""Positions that the released encoder holds and does not use."""


class MotionParts(NamedTuple):
    """What the file has of an objective."""

    encoder: VisionTransformer
    predictor: FrameCausalPredictor


def motion_parts(objective: nn.Module) -> MotionParts | None:
    """The encoder and the predictor of a V-JEPA 2-AC; None of any other method."""
    predictor = motion_predictor(objective)
    if predictor is None:
        return None
    assert isinstance(objective, HasFrozen), "its encoder is another run's"
    encoder = objective.frozen_parts()["encoder"].on(torch.device("cpu"))
    assert isinstance(encoder, VisionTransformer), "the method takes no other"
    return MotionParts(encoder, predictor)


def motion_predictor(objective: nn.Module) -> FrameCausalPredictor | None:
    """The predictor of a V-JEPA 2-AC, whose encoder is not opened; None of any other method."""
    predictor = getattr(objective, "predictor", None)
    if isinstance(predictor, FrameCausalPredictor) and isinstance(objective, HasFrozen):
        return predictor
    return None


def import_motion(path: Path, parts: MotionParts) -> ImportReport:
    """A report of the predictor that was loaded; all of it, or nothing and an error.

    Raises:
        CheckpointError: The file has no such predictor, or it is for another encoder.
    """
    _require_released_rotation(parts)
    content = torch_file.load(path)
    for key in ("encoder", "predictor"):
        if key not in content:
            raise CheckpointError(f"{path} has no {key}; it is not a V-JEPA 2-AC of Meta's")
    encoder, predictor = (meta.section_of(path, k, content[k]) for k in ("encoder", "predictor"))
    unused = [*_unused(encoder, TABLE), *_unused(predictor, CAMERA)]
    wanted = (
        (encoder, _encoder_links(parts.encoder)),
        (predictor, predictor_links(parts.predictor)),
    )
    refuse_differences(str(path), [text for pair in wanted for text in _differences(*pair)])
    _require_its_encoder(path, encoder, parts.encoder)
    state = parts.predictor.state_dict()
    parts.predictor.load_state_dict(predictor.state(predictor_links(parts.predictor), state, path))
    return ImportReport(
        layout="meta", loaded={"predictor": "predictor"}, untouched=(), ignored=tuple(unused)
    )


def export_motion(path: Path, parts: MotionParts) -> ExportReport:
    """A report of the file that Meta's code reads; it has no optimizer's state."""
    _require_released_rotation(parts)
    destination = new_file(path)
    encoder = _tensors(parts.encoder, _encoder_links(parts.encoder))
    predictor = _tensors(parts.predictor, predictor_links(parts.predictor))
    width = parts.predictor.embed.out_features
    predictor[f"module.{CAMERA}.weight"] = torch.zeros(width, CAMERA_NUMBERS)
    predictor[f"module.{CAMERA}.bias"] = torch.zeros(width)
    content: dict[str, object] = {"encoder": encoder, "target_encoder": encoder}
    content |= {"predictor": predictor, "opt": None, "scaler": None, "epoch": 0, "loss": 0.0}
    content |= {"batch_size": 0, "world_size": 0, "lr": 0.0}
    meta.save(destination, content)
    return ExportReport(
        path=destination, layout="meta", written=("target_encoder", "predictor"), left_out=()
    )


def _require_released_rotation(parts: MotionParts) -> None:
    for key, module in (("the encoder", parts.encoder), ("method.predictor", parts.predictor)):
        name = module.places.position.name
        if name != "rope3d_vjepa2":
            raise CheckpointError(
                f"position of {key} is {name}; Meta's code would compute something else from the "
                "same weights; use rope3d_vjepa2"
            )


def _require_its_encoder(path: Path, section: Section, encoder: VisionTransformer) -> None:
    """Refuses a predictor of another encoder's latents."""
    ours = encoder.state_dict()
    theirs = section.state(_encoder_links(encoder), ours, path)
    for name, tensor in ours.items():
        if not torch.equal(theirs[name], tensor):
            raise CheckpointError(
                f"{path} is for another encoder than method.encoder, which differs in {name}; make "
                "a run of the file's own by `wmt import vjepa2_vitg FILE RUN --encoder-only` and "
                "name its target_encoder"
            )


def _differences(section: Section, wanted: Sequence[Link]) -> list[str]:
    """What is missing, extra and mis-shaped, under a heading; empty if it fits."""
    expected = {name: link.shape for link in wanted for name in link.stored}
    shapes = {
        name: shape
        for name, shape in section.shapes.items()
        if name != TABLE and not name.startswith(CAMERA)
    }
    found = differences(expected, shapes)
    return [f" {section.title}:", *found] if found else []


def _unused(section: Section, prefix: str) -> list[str]:
    return [f"{section.title}.{name}" for name in section.shapes if name.startswith(prefix)]


def predictor_links(predictor: FrameCausalPredictor) -> list[Link]:
    """Where the file has each tensor of the predictor."""
    return links(predictor, META_MOTION, {})


def _encoder_links(encoder: VisionTransformer) -> list[Link]:
    embed = encoder.patch_embed
    convolution = (3, embed.tubelet, embed.patch, embed.patch)
    return links(encoder, (), {"patch_embed.proj.weight": lambda shape: (shape[0], *convolution)})


def _tensors(module: nn.Module, found: Sequence[Link]) -> dict[str, Tensor]:
    """All tensors as Meta's code stores them."""
    state: Mapping[str, Tensor] = module.state_dict()
    return {
        f"module.{name}": tensor
        for link in found
        for name, tensor in link.split(state[link.ours]).items()
    }
