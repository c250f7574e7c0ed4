"""A run's state as its layout has it, filled from a checkpoint, strictly and by all ranks."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn

from worldmodel_train.facts import EpisodeFacts
from worldmodel_train.models.strict_state import (
    CheckpointError,
    differences,
    refuse_differences,
    shapes_of,
)
from worldmodel_train.training.checkpoints.files import Shapes, verify
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import CheckpointReader
from worldmodel_train.training.layouts.layout import Layout
from worldmodel_train.training.ranks.agreement import Agreement


class StoredState:
    """A checkpoint to begin from; what can be wrong with it is found before anything is loaded."""

    def __init__(self, checkpoint: Path, shapes: Shapes, *, moments: bool) -> None:
        self._reader = CheckpointReader(checkpoint)
        self._moments = moments
        self.step = self._reader.meta.step
        self.guard = self._reader.meta.watch
        self.alarms = self._reader.meta.alarms
        self.streams = self._reader.meta.streams
        self.collected = self._reader.meta.collected
        refuse_differences("the checkpoint", differences(shapes, self._reader.meta.shapes))
        if moments and self._reader.meta.optimizer_step is None:
            raise CheckpointError(
                f"{checkpoint} holds weights only, as imported ones do; use "
                f"train.init.optimizer=false"
            )

    def require_frozen(self, found: Mapping[str, str]) -> None:
        """Raises CheckpointError where the run has begun with other frozen parts than `found`."""
        refuse_other_parts(self._reader.checkpoint, self._reader.meta.frozen, found)

    def require_episodes(self, found: EpisodeFacts | None) -> None:
        """Raises CheckpointError where the run has begun with episodes of other shapes."""
        begun = self._reader.meta.episodes
        if begun is not None and begun != found:
            raise CheckpointError(
                f"{self._reader.checkpoint} was trained on other episodes ({begun}, now {found}): "
                "bring back what data.sources named, or begin another run_dir"
            )

    def online_probe(self) -> dict[str, Tensor]:
        """What the online probe knew; raises CheckpointError where that is damaged."""
        return self._reader.online_probe()

    def fill(self, layout: Layout, agreement: Agreement) -> None:
        """Fills the state; each rank verifies a share of the files, and all hear of damage.

        Raises:
            CheckpointError: The checkpoint is damaged or cannot be read; on all ranks.
        """
        problem = read_together([self._reader], partial(self._read, layout), agreement)
        if problem is not None:
            folder = CheckpointFolder(self._reader.checkpoint.parent.parent)
            raise CheckpointError(f"{problem}. {folder.remedy()}")
        layout.publish()

    def _read(self, layout: Layout) -> None:
        rank, _ = _place()
        kept = [p for p in layout.pieces() if self._moments or p.kind == "weights"]
        self._reader.fill(kept, rank)
        if self._moments:
            assert self._reader.meta.optimizer_step is not None, "checked when it was opened"
            layout.moments.set_step(self._reader.meta.optimizer_step)

    @property
    def identity(self) -> tuple[str, str]:
        """The checkpoint's path, and what tells its contents from another's."""
        meta = self._reader.meta
        return str(self._reader.checkpoint), meta.model_dump_json()


def read_together(
    readers: Iterable[CheckpointReader], fill: Callable[[], None], agreement: Agreement
) -> str | None:
    """What went wrong on any rank, told to all; each verifies a share of the files, then fills."""
    rank, ranks = _place()
    problem = None
    try:
        for reader in readers:
            verify(reader.checkpoint, reader.meta, share=rank, shares=ranks)
        fill()
    except (CheckpointError, OSError, SafetensorError) as error:
        problem = str(error)
    return next((found for found in agreement.gather(problem) if found is not None), None)


def _place() -> tuple[int, int]:
    """This rank, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def agree_to_begin(
    identity: tuple[str, str] | None, frozen: Mapping[str, str], agreement: Agreement
) -> None:
    """Lets all ranks see that they begin from the same, with the same frozen parts.

    Raises:
        CheckpointError: They do not; on all ranks.
    """
    path, content = identity if identity is not None else ("new weights", "")
    digest = hashlib.sha256(f"{content}{sorted(frozen.items())}".encode()).hexdigest()
    begun = agreement.gather((path, digest))
    if len(set(begun)) > 1:
        other = next(rank for rank, found in enumerate(begun) if found != begun[0])
        raise CheckpointError(
            f"rank 0 begins from {begun[0][0]}, but rank {other} from {begun[other][0]}, or from "
            "other contents of it; all ranks need to see the same run_dir (a shared file system, "
            "no delayed copy). Start again"
        )


def refuse_other_parts(
    checkpoint: Path, begun: Mapping[str, str], found: Mapping[str, str]
) -> None:
    """Raises CheckpointError unless the frozen parts, by fingerprint, are those it began with."""
    for name in sorted(begun.keys() | found.keys()):
        if begun.get(name) != found.get(name):
            raise CheckpointError(
                f"{checkpoint} was trained on another {name} (fingerprint "
                f"{begun.get(name, 'none')[:12]}, now {found.get(name, 'none')[:12]}): bring back "
                f"what method.{name} named, or begin another run_dir"
            )


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads `weights` into `module`.

    Raises:
        CheckpointError: The names or shapes differ; lists what is missing, extra and mis-shaped.
    """
    refuse_differences(
        "the checkpoint", differences(shapes_of(module.state_dict()), shapes_of(weights))
    )
    module.load_state_dict(weights)
