"""A checkpoint of weights alone, for runs to start from."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from worldmodel_train.training.checkpoints.files import Progress
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.writer import CheckpointWriter
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.ranks.agreement import Agreement


def save_imported(
    folder: CheckpointFolder, weights: Mapping[str, Tensor], recipe_yaml: str
) -> Path:
    """The new checkpoint, at step 0 and without moments.

    Raises:
        CheckpointError: The disk is full or refuses.
    """
    writer = CheckpointWriter(folder, Agreement(1.0), rank=0, recipe_yaml=recipe_yaml)
    pieces = [
        Piece(kind="weights", name=name, start=0, values=tensor.reshape(-1), replicated=True)
        for name, tensor in weights.items()
    ]
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    progress = Progress(
        step=0, samples_seen=0, optimizer_step=None, shapes=shapes, watch={}, streams={}
    )
    writer.begin(pieces, progress)
    return writer.finish()
