"""A run's state as its layout has it, filled from a checkpoint, strictly and by all ranks."""

from collections.abc import Mapping
from pathlib import Path

import torch.distributed as dist
from torch import Tensor, nn

from worldmodel_train.models.strict_state import (
    CheckpointError,
    differences,
    refuse_differences,
)
from worldmodel_train.training.checkpoints.files import verify
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import CheckpointReader
from worldmodel_train.training.layouts.layout import Layout
from worldmodel_train.training.ranks.agreement import Agreement

Shapes = dict[str, tuple[int, ...]]


def shapes_of(module: nn.Module) -> Shapes:
    """The shape of every tensor in a module's state; asked before a strategy cuts it up."""
    return _shapes(module.state_dict())


class Stored:
    """A checkpoint to begin from; what can be wrong with it is found before anything is loaded."""

    def __init__(self, checkpoint: Path, shapes: Shapes, *, moments: bool) -> None:
        self._reader = CheckpointReader(checkpoint)
        self._moments = moments
        self.step = self._reader.meta.step
        self.watch = self._reader.meta.watch
        self.streams = self._reader.meta.streams
        refuse_differences("the checkpoint", differences(shapes, self._reader.meta.shapes))
        if moments and self._reader.meta.optimizer_step is None:
            raise CheckpointError(
                f"{checkpoint} holds weights only, as imported ones do; use "
                f"train.init.optimizer=false"
            )

    def fill(self, layout: Layout, agreement: Agreement) -> None:
        """Fills the state; each rank verifies a share of the files, and all hear of damage.

        Raises:
            CheckpointError: The checkpoint is damaged; on all ranks.
        """
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self._verify(rank, ranks, agreement)
        pieces = layout.pieces()
        if not self._moments:
            pieces = [piece for piece in pieces if piece.kind == "weights"]
        self._reader.fill(pieces, rank)
        if self._moments:
            assert self._reader.meta.optimizer_step is not None, "checked above"
            layout.moments.set_step(self._reader.meta.optimizer_step)
        layout.publish()

    def _verify(self, rank: int, ranks: int, agreement: Agreement) -> None:
        problem = None
        try:
            verify(self._reader.checkpoint, self._reader.meta, share=rank, shares=ranks)
        except CheckpointError as error:
            problem = str(error)
        problems = [found for found in agreement.gather(problem) if found is not None]
        if problems:
            folder = CheckpointFolder(self._reader.checkpoint.parent.parent)
            raise CheckpointError(f"{problems[0]}. {folder.remedy()}")


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads `weights` into `module`.

    Raises:
        CheckpointError: The names or shapes differ; lists what is missing, extra and mis-shaped.
    """
    refuse_differences("the checkpoint", differences(shapes_of(module), _shapes(weights)))
    module.load_state_dict(weights)


def _shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
