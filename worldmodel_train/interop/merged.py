"""All weights of an objective in one safetensors file, under our own names."""

from pathlib import Path

from torch import nn

from worldmodel_train.interop import safetensors_file
from worldmodel_train.models.strict_state import (
    CheckpointError,
    differences,
    refuse_differences,
    shapes_of,
)

SUFFIX = ".safetensors"


def import_merged(path: Path, objective: nn.Module) -> str:
    """What was loaded of the file that `wmt export` wrote; all of the objective, or an error.

    Raises:
        CheckpointError: The file is damaged, or of another method or size.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; `wmt export` of layout merged writes one")
    ours = objective.state_dict()
    found = safetensors_file.shapes(path)
    refuse_differences(str(path), differences(shapes_of(ours), found))
    state = {name: safetensors_file.reader(path, "")(name) for name in ours}
    broken = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} holds NaN or infinity; it is damaged")
    objective.load_state_dict(state, strict=True)
    return f"{len(state)} tensors <- {path} (merged)"
