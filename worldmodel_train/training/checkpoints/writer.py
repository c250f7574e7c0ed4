"""Writes checkpoints from all ranks, while training goes on."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from worldmodel_train.training.checkpoints.files import (
    Fingerprint,
    Progress,
    tensors_of,
    write_tensors,
)
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.layouts.layout import Piece
from worldmodel_train.training.ranks.agreement import Agreement


@dataclass(frozen=True, kw_only=True)
class _Writing:
    progress: Progress
    files: Future[dict[str, Fingerprint]]


class CheckpointWriter:
    """One checkpoint at a time. `begin` and `finish` are called by all ranks together.

    Each rank copies its pieces to the host's memory and writes them in a thread of its own. The
    first rank then makes a checkpoint of the files, when all of them are on the disk.
    """

    def __init__(
        self, folder: CheckpointFolder, agreement: Agreement, *, rank: int, recipe_yaml: str
    ) -> None:
        self._folder = folder
        self._agreement = agreement
        self._rank = rank
        self._recipe_yaml = recipe_yaml
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: _Writing | None = None

    @property
    def pending(self) -> bool:
        """Whether a checkpoint has begun that has not been finished; the same on all ranks."""
        return self._writing is not None

    @property
    def busy(self) -> bool:
        """Whether this rank is still writing."""
        return self._writing is not None and not self._writing.files.done()

    def begin(self, pieces: Iterable[Piece], progress: Progress) -> None:
        """Copies the pieces and starts to write them.

        Raises:
            CheckpointError: The disk refuses; on all ranks.
        """
        assert not self.pending, "one checkpoint at a time"
        self._raise_together(progress.step, self._prepare(progress.step))
        tensors = tensors_of(pieces, progress.shapes, self._rank)
        folder = self._folder.temporary(progress.step)
        written = self._threads.submit(write_tensors, folder, tensors)
        self._writing = _Writing(progress=progress, files=written)

    def finish(self) -> Path:
        """The checkpoint, once every rank has written its part.

        Raises:
            CheckpointError: A disk is full or refuses; on all ranks.
        """
        writing, self._writing = self._writing, None
        assert writing is not None, "nothing has begun"
        progress = writing.progress
        files, problem = {}, None
        try:
            files = writing.files.result()
        except OSError as error:
            problem = f"rank {self._rank}: {error}"
        self._raise_together(progress.step, problem)
        everything = {k: v for part in self._agreement.gather(files) for k, v in part.items()}
        self._raise_together(progress.step, self._publish(progress, everything))
        return self._folder.at(progress.step)

    def _prepare(self, step: int) -> str | None:
        return self._on_first_rank(lambda: self._folder.prepare(step))

    def _publish(self, progress: Progress, files: dict[str, Fingerprint]) -> str | None:
        return self._on_first_rank(lambda: self._folder.publish(progress, self._recipe_yaml, files))

    def _on_first_rank(self, action: Callable[[], object]) -> str | None:
        """What went wrong there, None for nothing and on other ranks."""
        if self._rank != 0:
            return None
        try:
            action()
        except OSError as error:
            return str(error)
        return None

    def _raise_together(self, step: int, problem: str | None) -> None:
        problems = [found for found in self._agreement.gather(problem) if found is not None]
        if problems:
            raise self._folder.abandon(step, problems[0])
