"""Directories of Hugging Face transformers: `config.json` and `model.safetensors`.

transformers keeps one encoder; the released ones are target encoders, so that is what it means
here. `VJEPA2Model` has a predictor, `IJepaModel` and `VideoMAEModel` have none.
"""

import json
from pathlib import Path

from worldmodel_train.config.json_text import JsonError, parse_object
from worldmodel_train.interop import safetensors_file
from worldmodel_train.interop.foreign import Foreign, Section
from worldmodel_train.interop.huggingface_config import check_config, config_of, model_type_of
from worldmodel_train.interop.huggingface_layout import HuggingFaceLayout, layout_of
from worldmodel_train.interop.objective_parts import Part, Parts
from worldmodel_train.interop.position_table import ClipSize
from worldmodel_train.models.strict_state import (
    CheckpointError,
    Shapes,
    differences,
    refuse_differences,
)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20


def read(directory: Path, parts: Parts) -> Foreign:
    """The checkpoint in a directory, its config compared with the model."""
    config = read_config(directory / CONFIG)
    model_type = model_type_of(parts)
    check_config(directory / CONFIG, config, parts)
    weights = weights_in(directory)
    shapes = safetensors_file.shapes(weights)
    layout = layout_of(model_type, shapes)
    return Foreign(
        path=directory,
        layout=f"huggingface/{model_type}",
        naming=layout.naming,
        sections=_sections(weights, shapes, layout),
        ignored=layout.unneeded(shapes),
    )


def weights_in(directory: Path) -> Path:
    """The file of weights.

    Raises:
        CheckpointError: There is none.
    """
    weights = directory / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{directory} has no {WEIGHTS}; join sharded weights into one file")
    return weights


def write(directory: Path, parts: Parts, clip: ClipSize) -> tuple[Part, ...]:
    """The parts written: the target encoder and, where transformers has one, the predictor."""
    model_type = model_type_of(parts)
    config, layout = config_of(parts, clip), layout_of(model_type)
    tensors = {
        prefix + name: tensor
        for part, prefix in layout.prefixes.items()
        for name, tensor in layout.naming.tensors(part, parts, clip).items()
    }
    # under another name until whole, so that a crash leaves nothing that looks like a checkpoint
    unfinished = directory.with_name(f"{directory.name}.part")
    unfinished.mkdir(exist_ok=True)
    safetensors_file.write(unfinished / WEIGHTS, tensors)
    (unfinished / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    unfinished.replace(directory)
    return tuple(layout.prefixes)


def _sections(weights: Path, shapes: Shapes, layout: HuggingFaceLayout) -> dict[Part, Section]:
    """Tensors by part; the rest of their names is their name."""
    known = (*layout.prefixes.values(), *layout.heads)
    strangers = {name: shape for name, shape in shapes.items() if not name.startswith(known)}
    refuse_differences(str(weights), differences({}, strangers))
    return {
        part: Section(
            title=prefix.removesuffix(".") or "the model",
            shapes={
                name.removeprefix(prefix): shape
                for name, shape in shapes.items()
                if name.startswith(prefix)
            },
            read=safetensors_file.reader(weights, prefix),
        )
        for part, prefix in layout.prefixes.items()
    }


def read_config(path: Path) -> dict[str, object]:
    """The JSON object in a `config.json`."""
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}; it is not a transformers model")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes; it is no config")
    try:
        return parse_object(path.read_bytes(), path)
    except JsonError as error:
        raise CheckpointError(f"{error}; it is no config.json of transformers") from None
