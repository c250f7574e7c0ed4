"""A checkpoint of what others have trained, for runs to start from."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from worldmodel_train.training.checkpoints.files import Progress
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.layouts.moments import Kind
from worldmodel_train.training.ranks.agreement import Agreement


def save_imported(
    folder: CheckpointFolder,
    weights: Mapping[str, Tensor],
    recipe_yaml: str,
    *,
    moments: Mapping[Kind, Mapping[str, Tensor]] = MappingProxyType({}),
    optimizer_step: int | None = None,
) -> Path:
    """The new checkpoint, at step 0; moments are of all weights that are trained, or of none.

    `optimizer_step` says how many steps the moments have seen, None that there are none.

    Raises:
        CheckpointError: The disk is full or refuses.
    """
    writer = CheckpointWriter(folder, Agreement(1.0), rank=0, recipe_yaml=recipe_yaml)
    tensors: dict[Kind, Mapping[str, Tensor]] = {"weights": weights, **moments}
    pieces = [
        Piece(kind=kind, name=name, start=0, values=tensor.reshape(-1), replicated=True)
        for kind, of_kind in tensors.items()
        for name, tensor in of_kind.items()
    ]
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    progress = Progress(
        step=0,
        samples_seen=0,
        optimizer_step=optimizer_step,
        shapes=shapes,
        watch={},
        streams={},
    )
    writer.begin(pieces, progress)
    return writer.finish()
